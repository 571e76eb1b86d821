"""Model families, one file each: a stage that makes a network, untrained or with weights given to it."""
