"""What computes a checkpoint's modules: torch, OpenVINO, ONNX Runtime."""
