"""Files of other programs: the network as sampling calls it, in the forms of ONNX and torch.export."""
