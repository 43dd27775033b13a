"""Compresses an array within an error bound and as latents, and decompresses it: first.py"""

import numpy as np
import swae

z, y, x = np.mgrid[0:64, 0:64, 0:64] / 64
waves = np.sin(9 * x + 2 * z) * np.cos(7 * y)

payload = swae.compress(waves, rel=1e-4)  # every value within 1e-4 of the value range
again = swae.decompress(payload)

error = np.abs(again - waves).max() / np.ptp(waves)
print(f"{waves.nbytes} bytes became {len(payload)}, largest error {error:.1e} of the value range")
assert error <= 1e-4

payload = swae.compress(waves, latent=True)  # latents of a network, at a fixed rate, without a bound
error = np.abs(swae.decompress(payload) - waves).max() / np.ptp(waves)
print(f"as latents {len(payload)}, largest error {error:.1e} of the value range")
