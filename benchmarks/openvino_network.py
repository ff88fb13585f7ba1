"""Seconds a block by OpenVINO, run by prediction.py with an interpreter that has OpenVINO.

Arguments: model.onnx, block.npy, precision (f32 or bf16), rounds, probability.npy to write.
"""

import sys
import time

import numpy as np
import openvino as ov

block = np.load(sys.argv[2])
core = ov.Core()
model = core.read_model(sys.argv[1])
model.reshape(block.shape)
hints = {"INFERENCE_PRECISION_HINT": sys.argv[3], "PERFORMANCE_HINT": "LATENCY"}
request = core.compile_model(model, "CPU", hints).create_infer_request()
spent = []
for _ in range(int(sys.argv[4]) + 1):  # first, memory is taken
    began = time.perf_counter()
    found = request.infer([block])[0]
    spent.append(time.perf_counter() - began)
np.save(sys.argv[5], found)
print(np.median(spent[1:]))
