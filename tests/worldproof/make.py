"""Scores pictures with worldproof and with definitions of MS-SSIM and LPIPS: what `bench packing` is held against.

    pip install worldproof==0.1.0 lpips pytorch-msssim
    python make.py > scores.json

The pictures and the weights of the small stand-in for AlexNet are formulas, written once more in `tests/packing.rs`.
"""

import json

import numpy as np
import torch
from worldproof.metrics.fidelity import PSNR, SSIM


def picture(width, height, kind):
    """Waves in three colours; each kind is off in its own way."""
    y, x = np.mgrid[0:height, 0:width].astype(np.int64)
    colours = []
    for c in range(3):
        base = (x * (3 + c) + y * (5 - c) + (x * y) // 7) % 256
        if kind == "brighter":
            base = np.minimum(base + 24, 255)
        elif kind == "noisy":
            base = np.clip(base + ((x * 7919 + y * 104729 + c * 31) % 41) - 20, 0, 255)
        elif kind == "shifted":
            base = ((x + 3) * (3 + c) + y * (5 - c) + ((x + 3) * y) // 7) % 256
        elif kind == "flat":
            base = np.full_like(base, 90 + 20 * c)
        colours.append(base)
    return np.stack(colours, axis=-1).astype(np.uint8)


WEIGHTS = [0.0448, 0.2856, 0.3001, 0.2363, 0.1333]


def ms_ssim(a, b):
    """pytorch-msssim over as many scales as its window fits into, their weights stretched to sum 1."""
    from pytorch_msssim.ssim import _fspecial_gauss_1d, _ssim

    a, b = (torch.from_numpy(p.astype(np.float64)).permute(2, 0, 1)[None] for p in (a, b))
    side = min(11, *a.shape[-2:])
    window = _fspecial_gauss_1d(side, 1.5).double().repeat([3, 1, 1, 1])
    scales = 1
    while scales < 5 and min(a.shape[-2:]) >> scales >= side:
        scales += 1
    weights = torch.tensor(WEIGHTS[:scales]).double()
    weights /= weights.sum()
    factors = []
    for scale in range(scales):
        whole, contrast = _ssim(a, b, 255.0, window, False, K=(0.01, 0.03))
        factors.append(torch.relu(whole if scale == scales - 1 else contrast))
        a, b = (torch.nn.functional.avg_pool2d(p, 2) for p in (a, b))
    return float(torch.prod(torch.stack(factors) ** weights[:, None, None], dim=0).mean())


def weight(name, count):
    """Numbers that a formula gives, small enough that no layer saturates."""
    start = sum(name.encode())
    i = np.arange(count, dtype=np.float64)
    return np.sin(0.37 * i + start) * 0.05


def lpips_distance(a, b):
    import lpips

    model = lpips.LPIPS(net="alex", pnet_rand=True, pretrained=False, verbose=False).eval()
    with torch.no_grad():
        for index, layer in [
            (int(name), module)
            for part in (1, 2, 3, 4, 5)
            for name, module in getattr(model.net, f"slice{part}").named_children()
            if isinstance(module, torch.nn.Conv2d)
        ]:
            for kind in ("weight", "bias"):
                tensor = getattr(layer, kind)
                values = weight(f"features.{index}.{kind}", tensor.numel())
                tensor.copy_(torch.from_numpy(values).reshape(tensor.shape))
        for at in range(5):
            tensor = getattr(model, f"lin{at}").model[1].weight
            values = np.abs(weight(f"lin{at}.model.1.weight", tensor.numel()))
            tensor.copy_(torch.from_numpy(values).reshape(tensor.shape))
        to = lambda p: torch.from_numpy(p.astype(np.float32)).permute(2, 0, 1)[None] / 127.5 - 1
        return float(model(to(a), to(b)))


def main():
    scores = []
    for width, height in [(64, 48), (128, 96), (192, 176)]:
        real = picture(width, height, "real")
        for kind in ["real", "brighter", "noisy", "shifted", "flat"]:
            dreamed = picture(width, height, kind)
            scores.append(
                {
                    "width": width,
                    "height": height,
                    "kind": kind,
                    "psnr": PSNR()._frame_score(dreamed, real, None),
                    "ssim": SSIM()._frame_score(dreamed, real, None),
                    "ms_ssim": ms_ssim(dreamed, real),
                    "lpips": lpips_distance(dreamed, real) if width == 64 else None,
                }
            )
    print(json.dumps(scores, indent=1))


main()
