// One photograph into its most probable labels, with onnxruntime-android:
//
//     implementation("com.microsoft.onnxruntime:onnxruntime-android:1.30.0")
//
// Put model-with-preprocessing.onnx and labels.txt into the app's assets, then:
//
//     Classifier(context.assets).use { println(it.classify(bitmap)) }
//
// Call it from a background thread. This file was not compiled where the bundle was made.
package classifier

import ai.onnxruntime.OnnxJavaType
import ai.onnxruntime.OnnxTensor
import ai.onnxruntime.OrtEnvironment
import ai.onnxruntime.OrtSession
import ai.onnxruntime.TensorInfo
import android.content.res.AssetManager
import android.graphics.Bitmap
import java.nio.ByteBuffer
import java.nio.ByteOrder
import kotlin.math.exp
import kotlin.math.roundToInt

data class Label(val name: String, val probability: Float)

class Classifier(assets: AssetManager) : AutoCloseable {
    private val environment = OrtEnvironment.getEnvironment()
    private val session: OrtSession =
        environment.createSession(assets.open("model-with-preprocessing.onnx").use { it.readBytes() })
    private val labels = assets.open("labels.txt").bufferedReader().use { it.readLines() }.filter { it.isNotEmpty() }

    // (height, width, channels); height and width may be any.
    private val channels = (session.inputInfo.getValue("image").info as TensorInfo).shape[2].toInt()

    /** The most probable labels of an upright picture of any size, largest first. */
    fun classify(bitmap: Bitmap, count: Int = 5): List<Label> {
        val logits = logits(bitmap)
        val highest = logits.max()
        val powers = logits.map { exp(it - highest) }
        val total = powers.sum()
        return powers.mapIndexed { index, power -> Label(labels[index], power / total) }
            .sortedByDescending { it.probability }
            .take(count)
    }

    /** What the model says; compare with golden/expected.json for golden/image_N.png. */
    fun logits(bitmap: Bitmap): FloatArray {
        val shape = longArrayOf(bitmap.height.toLong(), bitmap.width.toLong(), channels.toLong())
        OnnxTensor.createTensor(environment, pixels(bitmap), shape, OnnxJavaType.UINT8).use { image ->
            session.run(mapOf("image" to image), setOf("logits")).use { answer ->
                @Suppress("UNCHECKED_CAST")
                return (answer[0].value as Array<FloatArray>)[0]
            }
        }
    }

    /** Red, green, blue of each pixel, row by row; or one grey value. */
    private fun pixels(bitmap: Bitmap): ByteBuffer {
        val colours = IntArray(bitmap.width * bitmap.height)
        bitmap.getPixels(colours, 0, bitmap.width, 0, 0, bitmap.width, bitmap.height)
        val buffer = ByteBuffer.allocateDirect(colours.size * channels).order(ByteOrder.nativeOrder())
        for (colour in colours) {
            val red = colour shr 16 and 0xff
            val green = colour shr 8 and 0xff
            val blue = colour and 0xff
            if (channels == 1) {
                buffer.put((0.299 * red + 0.587 * green + 0.114 * blue).roundToInt().toByte())
            } else {
                buffer.put(red.toByte()).put(green.toByte()).put(blue.toByte())
            }
        }
        buffer.rewind()
        return buffer
    }

    override fun close() = session.close()
}
