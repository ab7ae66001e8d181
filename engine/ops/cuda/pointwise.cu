// x + update * gate, the gate that of the row's group. A thread has one value.
KERNEL gated_add(const float* __restrict__ x, const number* __restrict__ update, const float* __restrict__ gate,
                 const unsigned* __restrict__ group_of, unsigned count, unsigned width, float* __restrict__ out) {
  const unsigned at = blockIdx.x * blockDim.x + threadIdx.x;
  if (at >= count) return;
  out[at] = fmaf(wide(update[at]), gate[(size_t)group_of[at / width] * width + at % width], x[at]);
}

// GELU by its tanh approximation.
KERNEL gelu(const number* __restrict__ x, unsigned count, number* __restrict__ out) {
  const unsigned at = blockIdx.x * blockDim.x + threadIdx.x;
  if (at >= count) return;
  const float value = wide(x[at]);
  const float inner = 0.7978846f * value * fmaf(0.044715f * value, value, 1.f);
  out[at] = narrow(0.5f * value * (1.f + tanhf(inner)));
}
