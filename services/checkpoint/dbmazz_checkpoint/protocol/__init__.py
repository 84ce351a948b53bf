"""What the checkpoint decides, without I/O: values in, values out."""
