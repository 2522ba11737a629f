"""Parts that several commands share: errors, parsing, config files, the data of a checkpoint."""
