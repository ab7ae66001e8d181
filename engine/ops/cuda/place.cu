// Rows of a pool, every head turned by the phases of its place (RoPE). A thread turns one pair of channels.
KERNEL place(const float* __restrict__ pool, const unsigned* __restrict__ index, const float* __restrict__ real,
             const float* __restrict__ imaginary, unsigned rows, unsigned width, unsigned tokens,
             unsigned half, float* __restrict__ out) {
  const unsigned pairs = width / 2;
  const unsigned at = blockIdx.x * blockDim.x + threadIdx.x;
  if (at >= rows * pairs) return;
  const unsigned row = at / pairs, pair = at % pairs;
  const size_t phase = (size_t)(row % tokens) * half + pair % half;
  const float* x = pool + (size_t)index[row] * width + 2 * pair;
  float* y = out + (size_t)row * width + 2 * pair;
  y[0] = fmaf(x[0], real[phase], -(x[1] * imaginary[phase]));
  y[1] = fmaf(x[0], imaginary[phase], x[1] * real[phase]);
}
