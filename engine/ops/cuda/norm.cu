#define THREADS 128
#define EPSILON 1e-6f

// The sum of a number of every thread, in halves; the same for all of them.
__device__ float total(float* sums, float number) {
  __syncthreads();  // The sum before has been read.
  sums[threadIdx.x] = number;
  for (unsigned half = THREADS / 2; half > 0; half /= 2) {
    __syncthreads();
    if (threadIdx.x < half) sums[threadIdx.x] += sums[threadIdx.x + half];
  }
  __syncthreads();
  return sums[0];
}

// layer_norm(x) * (1 + scale) + shift, shift and scale those of the row's group. A block has one row.
KERNEL modulate(const float* __restrict__ x, const float* __restrict__ shift, const float* __restrict__ scale,
                const unsigned* __restrict__ group_of, unsigned width, number* __restrict__ out) {
  __shared__ float sums[THREADS];
  const size_t row = (size_t)blockIdx.x * width, group = (size_t)group_of[blockIdx.x] * width;
  float sum = 0.f;
  for (unsigned c = threadIdx.x; c < width; c += THREADS) sum += x[row + c];
  const float mean = total(sums, sum) / (float)width;
  sum = 0.f;
  for (unsigned c = threadIdx.x; c < width; c += THREADS) {
    const float off = x[row + c] - mean;
    sum = fmaf(off, off, sum);
  }
  const float deviation = 1.f / sqrtf(total(sums, sum) / (float)width + EPSILON);
  for (unsigned c = threadIdx.x; c < width; c += THREADS) {
    out[row + c] = narrow(fmaf((x[row + c] - mean) * deviation, 1.f + scale[group + c], shift[group + c]));
  }
}

// RMS norm over each run of `head` columns. A warp has one run.
KERNEL rms_norm(const number* __restrict__ x, const float* __restrict__ gain, unsigned runs, unsigned head,
                number* __restrict__ out) {
  const unsigned run = blockIdx.x * blockDim.y + threadIdx.y;
  if (run >= runs) return;
  const size_t first = (size_t)run * head;
  float sum = 0.f;
  for (unsigned c = threadIdx.x; c < head; c += 32) {
    const float value = wide(x[first + c]);
    sum = fmaf(value, value, sum);
  }
  for (unsigned apart = 16; apart > 0; apart /= 2) sum += __shfl_xor_sync(0xffffffffu, sum, apart);
  const float inverse = 1.f / sqrtf(sum / (float)head + EPSILON);
  for (unsigned c = threadIdx.x; c < head; c += 32) out[first + c] = narrow(wide(x[first + c]) * inverse * gain[c]);
}
