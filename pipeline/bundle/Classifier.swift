// One photograph into its most probable labels, with onnxruntime-objc (pod 'onnxruntime-objc', or its Swift package).
//
// Add model-with-preprocessing.onnx and labels.txt to the app's target, then:
//
//     let classifier = try Classifier()
//     print(try classifier.classify(image))
//
// Call it away from the main thread. This file was not compiled where the bundle was made.
import CoreGraphics
import Foundation
import onnxruntime_objc

struct Label {
    let name: String
    let probability: Float
}

enum ClassifierError: Error {
    case fileMissing(String)
    case noPixels
}

final class Classifier {
    private let environment: ORTEnv
    private let session: ORTSession
    private let labels: [String]
    private let channels: Int

    /// `channels` is 3 for a model of colour images and 1 for one of grey images; see preprocess.json.
    init(bundle: Bundle = .main, channels: Int = 3) throws {
        self.channels = channels
        environment = try ORTEnv(loggingLevel: .warning)
        let model = try Classifier.path("model-with-preprocessing", "onnx", bundle)
        session = try ORTSession(env: environment, modelPath: model, sessionOptions: nil)
        let text = try String(contentsOfFile: Classifier.path("labels", "txt", bundle), encoding: .utf8)
        labels = text.split(separator: "\n").map(String.init)
    }

    /// The most probable labels of an upright picture of any size, largest first.
    func classify(_ image: CGImage, count: Int = 5) throws -> [Label] {
        let logits = try self.logits(image)
        let highest = logits.max() ?? 0
        let powers = logits.map { exp($0 - highest) }
        let total = powers.reduce(0, +)
        let found = zip(labels, powers).map { Label(name: $0, probability: $1 / total) }
        return Array(found.sorted { $0.probability > $1.probability }.prefix(count))
    }

    /// What the model says; compare with golden/expected.json for golden/image_N.png.
    func logits(_ image: CGImage) throws -> [Float] {
        let data = NSMutableData(data: Data(try pixels(image)))
        let shape = [image.height, image.width, channels].map { NSNumber(value: $0) }
        let input = try ORTValue(tensorData: data, elementType: .uInt8, shape: shape)
        let answers = try session.run(withInputs: ["image": input], outputNames: ["logits"], runOptions: nil)
        guard let answer = answers["logits"] else { throw ClassifierError.noPixels }
        let content = try answer.tensorData() as Data
        return content.withUnsafeBytes { Array($0.bindMemory(to: Float.self)) }
    }

    /// Red, green, blue of each pixel, row by row; or one grey value.
    private func pixels(_ image: CGImage) throws -> [UInt8] {
        let (width, height) = (image.width, image.height)
        var rgba = [UInt8](repeating: 255, count: width * height * 4)
        let space = CGColorSpace(name: CGColorSpace.sRGB)!
        let drawn = rgba.withUnsafeMutableBytes { buffer -> Bool in
            guard
                let context = CGContext(
                    data: buffer.baseAddress, width: width, height: height, bitsPerComponent: 8,
                    bytesPerRow: width * 4, space: space, bitmapInfo: CGImageAlphaInfo.noneSkipLast.rawValue)
            else { return false }
            context.draw(image, in: CGRect(x: 0, y: 0, width: width, height: height))
            return true
        }
        guard drawn else { throw ClassifierError.noPixels }
        return stride(from: 0, to: rgba.count, by: 4).flatMap { start -> [UInt8] in
            let (red, green, blue) = (rgba[start], rgba[start + 1], rgba[start + 2])
            if channels == 3 { return [red, green, blue] }
            return [UInt8((0.299 * Double(red) + 0.587 * Double(green) + 0.114 * Double(blue)).rounded())]
        }
    }

    private static func path(_ name: String, _ suffix: String, _ bundle: Bundle) throws -> String {
        guard let path = bundle.path(forResource: name, ofType: suffix) else {
            throw ClassifierError.fileMissing("\(name).\(suffix)")
        }
        return path
    }
}
