"""Seconds a patch by gunpowder, run by training.py with an interpreter that has gunpowder.

Arguments: patch, output, patches, volume.npy, processes (0: here), pictures.npz.
"""

import sys
import time

import gunpowder as gp
import numpy as np

size, output, number = (int(word) for word in sys.argv[1:4])
voxels = np.pad(np.load(sys.argv[4]), 120, mode="reflect")  # so that no patch needs padding
RAW, LABELS = gp.ArrayKey("RAW"), gp.ArrayKey("LABELS")


class Source(gp.BatchProvider):
    """Raw in [0, 1], and as labels what is bright."""

    def setup(self):
        """State what there is."""
        roi = gp.Roi((0, 0, 0), voxels.shape)
        self.provides(RAW, gp.ArraySpec(roi, (1, 1, 1), dtype=np.float32, interpolatable=True))
        self.provides(LABELS, gp.ArraySpec(roi, (1, 1, 1), dtype=np.uint8, interpolatable=False))

    def provide(self, request):
        """Cut the requested arrays."""
        batch = gp.Batch()
        for key, spec in request.array_specs.items():
            cut = voxels[spec.roi.to_slices()]
            made = self.spec[key].copy()
            made.roi = spec.roi
            data = cut.astype(np.float32) / 255 if key == RAW else (cut > 128).astype(np.uint8)
            batch[key] = gp.Array(data, made)
        return batch


request = gp.BatchRequest()
request.add(RAW, (size,) * 3)
request.add(LABELS, (output,) * 3)
pipeline = (
    Source()
    + gp.RandomLocation()
    + gp.SimpleAugment()
    # As the published pipeline: subsample is faster and coarser.
    + gp.ElasticAugment(
        [32] * 3, [2] * 3, [0, np.pi / 2], prob_shift=0.05, max_misalign=2, subsample=4
    )
    + gp.SimpleAugment()
    + gp.IntensityAugment(RAW, 0.85, 1.15, -0.15, 0.15)
)
workers = int(sys.argv[5])
if workers:
    pipeline += gp.PreCache(cache_size=2 * workers, num_workers=workers)
with gp.build(pipeline):
    pipeline.request_batch(request)
    began = time.perf_counter()
    for _ in range(number):
        batch = pipeline.request_batch(request)
    print((time.perf_counter() - began) / number)
    if len(sys.argv) > 6:
        np.savez(sys.argv[6], raw=batch[RAW].data, labels=batch[LABELS].data)
