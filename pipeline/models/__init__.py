"""Model families, one file each: a stage that makes an untrained model."""
