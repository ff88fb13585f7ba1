"""Block-wise processing: executors, journals of unfinished outputs, image pyramids."""
