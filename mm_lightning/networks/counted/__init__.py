"""Networks that are fitted by counting: n-grams under several kinds of smoothing."""
