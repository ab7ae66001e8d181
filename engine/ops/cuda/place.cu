// Rows of a pool, every head turned by the phases of its place (RoPE). A thread turns one pair of channels.
KERNEL place(const number* __restrict__ pool, const unsigned* __restrict__ index, const float* __restrict__ real,
             const float* __restrict__ imaginary, unsigned rows, unsigned width, unsigned tokens,
             unsigned half, number* __restrict__ out) {
  const unsigned pairs = width / 2;
  const unsigned at = blockIdx.x * blockDim.x + threadIdx.x;
  if (at >= rows * pairs) return;
  const unsigned row = at / pairs, pair = at % pairs;
  const size_t phase = (size_t)(row % tokens) * half + pair % half;
  const number* x = pool + (size_t)index[row] * width + 2 * pair;
  number* y = out + (size_t)row * width + 2 * pair;
  const float a = wide(x[0]), b = wide(x[1]);
  y[0] = narrow(fmaf(a, real[phase], -(b * imaginary[phase])));
  y[1] = narrow(fmaf(a, imaginary[phase], b * real[phase]));
}
