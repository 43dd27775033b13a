"""swae.compress and swae.decompress keep shapes, types and bounds; misuse has a message."""

import numpy as np
import pytest

import swae


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(), (1000,), (30, 50), (20, 30, 40), (3, 9, 10, 11), (2, 0, 4)])
def test_the_bound_holds_for_every_rank(shape, dtype):
    a = np.random.default_rng(1).normal(size=shape).astype(dtype)
    for layout in ["grid", "series"]:
        b = swae.decompress(swae.compress(a, abs=1e-2, layout=layout))
        assert b.dtype == a.dtype and b.shape == a.shape
        assert np.all(np.abs(a - b) <= 1e-2)
    b = swae.decompress(swae.compress(a, pwrel=1e-3))
    assert np.all(np.abs(a.astype(float) - b) <= 1e-3 * np.abs(a.astype(float)))


def test_smooth_arrays_become_small(wave):
    payload = swae.compress(wave, rel=1e-4)
    assert len(payload) < wave.nbytes / 40
    assert np.abs(swae.decompress(payload) - wave).max() <= 1e-4 * np.ptp(wave)
    again = swae.decompress(swae.compress(wave, psnr=60))
    assert 20 * np.log10(np.ptp(wave) / np.sqrt(np.mean((again - wave) ** 2))) >= 60
    assert np.abs(swae.decompress(swae.compress(wave, latent=True)) - wave).max() < 0.5


def test_any_memory_order_and_values_that_are_not_finite(wave):
    wave = wave.copy()
    wave[3, 4, 5], wave[0, 0, 0], wave[1, 1, 1] = np.nan, -np.inf, -0.0
    for a in [wave, np.asfortranarray(wave), wave[::2, ::-1, 3:20]]:
        b = swae.decompress(swae.compress(a, abs=1e-3))
        finite = np.isfinite(a)
        assert np.abs(a[finite] - b[finite]).max() <= 1e-3
        assert np.array_equal(a[~finite], b[~finite], equal_nan=True)


def test_the_default_is_a_relative_bound_of_1e_4_and_latents_are_asked_for(wave):
    assert swae.compress(wave) == swae.compress(wave, rel=1e-4)
    assert swae.compress(wave) != swae.compress(wave, latent=True)


def test_more_effort_makes_smaller_payloads_within_the_same_bound(wave):
    payloads = {effort: swae.compress(wave, rel=1e-4, effort=effort) for effort in ["fast", "normal", "best"]}
    assert len(payloads["fast"]) > len(payloads["normal"]) > len(payloads["best"])
    assert payloads["normal"] == swae.compress(wave, rel=1e-4)
    for payload in payloads.values():
        assert np.abs(swae.decompress(payload) - wave).max() <= 1e-4 * np.ptp(wave)
    with pytest.raises(swae.Error, match="effort 'much': unknown variant"):
        swae.compress(wave, effort="much")


def test_every_error_is_a_swae_error():
    for kind in (swae.CorruptError, swae.VersionError):
        assert issubclass(kind, swae.Error)


def test_misuse_has_a_message(wave):
    with pytest.raises(TypeError, match="at most one of"):
        swae.compress(wave, abs=1, rel=1)
    with pytest.raises(TypeError, match="float32 and float64"):
        swae.compress(np.arange(10), abs=1)
    with pytest.raises(swae.Error, match="no error bound"):
        swae.compress(wave, abs=-1)
    with pytest.raises(swae.Error, match="no model named 'none'"):
        swae.compress(wave, latent=True, model="none")
    payload = bytearray(swae.compress(wave, abs=1e-3))
    with pytest.raises(swae.CorruptError, match="damaged or foreign"):
        swae.decompress(payload[:-1])
    payload[20] ^= 1
    with pytest.raises(swae.CorruptError, match="the checksum is wrong"):
        swae.decompress(payload)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_masked_array_comes_back_with_its_mask(wave, dtype):
    mask = np.zeros(wave.shape, bool)
    mask[3:20, 5:9] = mask[0, 0, 0] = True
    data = np.where(mask, 1e30, wave).astype(dtype)
    masked = np.ma.MaskedArray(data, mask)
    b = swae.decompress(swae.compress(masked, rel=1e-4))
    assert isinstance(b, np.ma.MaskedArray) and b.dtype == dtype
    assert np.array_equal(b.mask, mask)
    assert np.abs(b - masked).max() <= 1e-4 * np.ptp(wave[~mask])
    assert len(swae.compress(masked, rel=1e-4)) < 1.2 * len(swae.compress(wave.astype(dtype), rel=1e-4)) + 200
    plain = swae.decompress(swae.compress(np.ma.MaskedArray(wave), rel=1e-4))
    assert not isinstance(plain, np.ma.MaskedArray)
    with pytest.raises(TypeError, match="takes no fill"):
        swae.compress(masked, rel=1e-4, fill=1e20)


def test_a_fill_value_takes_no_part_in_the_value_range(wave):
    missing = np.zeros(wave.shape, bool)
    missing[:, :10] = True
    filled = np.where(missing, 1e20, wave)
    payload = swae.compress(filled, rel=1e-4, fill=1e20)
    b = swae.decompress(payload)
    assert np.all(b[missing] == 1e20)
    assert np.abs(b - wave)[~missing].max() <= 1e-4 * np.ptp(wave[~missing])
    with pytest.raises(swae.Error, match="latents know no 'fill' value"):
        swae.compress(filled, latent=True, fill=1e20)
