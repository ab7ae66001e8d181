"""Makes codec_tiny.safetensors: a small codec in PyTorch with random weights, its input and outputs.

Run in this folder with `torch` and `safetensors` installed. The engine's codec must read the same
weights and give the same latents and pictures.
"""

import torch
import torch.nn as nn
import torch.nn.functional as F
from safetensors.torch import save_file

CHANNELS, LOW, MID, HIGH = 4, 16, 12, 8


def conv(inputs, outputs):
    return nn.Conv2d(inputs, outputs, 3, padding=1)


class Residual(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.conv1 = conv(width, width)
        self.conv2 = conv(width, width)

    def forward(self, x):
        return x + self.conv2(F.silu(self.conv1(F.silu(x))))


class Encoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.filter = conv(3 * 8 * 8, CHANNELS)

    def forward(self, x):
        return self.filter(F.pixel_unshuffle(x, 8))


class Decoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = conv(CHANNELS, LOW)
        self.low = nn.Sequential(Residual(LOW))
        self.up1 = conv(LOW, MID * 2 * 2)
        self.mid = nn.Sequential(Residual(MID))
        self.up2 = conv(MID, HIGH * 2 * 2)
        self.high = nn.Sequential(Residual(HIGH))
        self.head = conv(HIGH, 3 * 2 * 2)

    def forward(self, latents):
        x = self.low(self.stem(latents))
        x = self.mid(F.pixel_shuffle(self.up1(x), 2))
        x = self.high(F.pixel_shuffle(self.up2(x), 2))
        return F.pixel_shuffle(self.head(F.silu(x)), 2)


def main():
    torch.manual_seed(1)
    codec = nn.ModuleDict({"encoder": Encoder(), "decoder": Decoder()})
    frames = torch.randint(0, 256, (2, 16, 24, 3), dtype=torch.uint8)
    with torch.no_grad():
        for weight in codec.parameters():
            weight.mul_(2.0)  # The default start is so small that pictures would be nearly grey.
        raw = codec["encoder"](frames.permute(0, 3, 1, 2) / 127.5 - 1)
        pictures = codec["decoder"](raw).permute(0, 2, 3, 1)
    # Any basis will do; this one has no symmetry to hide a transposed matrix.
    mean, matrix = raw.mean((0, 2, 3)), torch.eye(CHANNELS) + 0.3 * torch.randn(CHANNELS, CHANNELS)
    centred = raw - mean[:, None, None]
    tensors = {
        **codec.state_dict(),
        "normalize.mean": mean,
        "normalize.matrix": matrix,
        "frames": frames,
        "raw": raw,
        "latents": torch.einsum("dc,bchw->bdhw", matrix, centred),
        "pictures": pictures,
    }
    tensors = {name: tensor.contiguous() for name, tensor in tensors.items()}
    save_file(tensors, "codec_tiny.safetensors")
    print("pictures:", pictures.min().item(), "to", pictures.max().item())


if __name__ == "__main__":
    main()
