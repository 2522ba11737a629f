"""Callbacks that write what TensorBoard shows: charts, settings, embeddings, histograms."""
