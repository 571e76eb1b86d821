"""What an app developer takes away: one folder with the model, its preprocessing and a proof."""
