// Softmax attention over gathered rows. A block has a tile of queries of one head of one sequence, and walks over
// tiles of keys: neither scores nor gathered keys are ever whole in memory (T. Dao et al., "FlashAttention", 2022).
// HEAD is at most 128 and a multiple of LANES.
#define QUERIES 32
#define KEYS 32
#define LANES 4  // Threads of a query: each has every fourth key of a tile, and every fourth channel of the result.
#define STRIDE (HEAD + 1)  // Rows of a tile begin in different banks.
#define LOWEST -3.402823466e38f

// Rows of a head into a tile, turned by the phases of their places where there are any, zero beyond `count`.
__device__ void gather(float* tile, const float* x, const unsigned* index, const float* real, const float* imaginary,
                       unsigned count, unsigned rows, size_t width) {
  for (unsigned at = threadIdx.x; at < rows * (HEAD / 2); at += blockDim.x) {
    const unsigned row = at / (HEAD / 2), pair = at % (HEAD / 2);
    float a = 0.f, b = 0.f;
    if (row < count) {
      a = x[index[row] * width + 2 * pair];
      b = x[index[row] * width + 2 * pair + 1];
      if (real) {
        const float re = real[row * (HEAD / 2) + pair], im = imaginary[row * (HEAD / 2) + pair], c = a;
        a = fmaf(c, re, -(b * im));
        b = fmaf(c, im, b * re);
      }
    }
    tile[row * STRIDE + 2 * pair] = a;
    tile[row * STRIDE + 2 * pair + 1] = b;
  }
}

KERNEL attend(const float* __restrict__ q, const float* __restrict__ k, const float* __restrict__ v,
              const unsigned* __restrict__ queries, const unsigned* __restrict__ keys,
              const float* __restrict__ query_real, const float* __restrict__ query_imaginary,
              const float* __restrict__ key_real, const float* __restrict__ key_imaginary, unsigned query_tokens,
              unsigned key_tokens, unsigned width, float* __restrict__ out) {
  __shared__ float own[QUERIES * STRIDE], tile[KEYS * STRIDE], weights[QUERIES * (KEYS + 1)];
  const unsigned row = threadIdx.x / LANES, lane = threadIdx.x % LANES;
  const unsigned first = blockIdx.x * QUERIES, column = blockIdx.y * HEAD;
  const float scale = 1.f / sqrtf((float)HEAD);
  queries += (size_t)blockIdx.z * query_tokens + first;
  keys += (size_t)blockIdx.z * key_tokens;
  gather(own, q + column, queries, query_real + (size_t)first * (HEAD / 2),
         query_imaginary + (size_t)first * (HEAD / 2), query_tokens - first, QUERIES, width);
  float top = LOWEST, sum = 0.f, result[HEAD / LANES];
#pragma unroll
  for (unsigned m = 0; m < HEAD / LANES; m++) result[m] = 0.f;
  for (unsigned start = 0; start < key_tokens; start += KEYS) {
    __syncthreads();  // The values before have been used.
    gather(tile, k + column, keys + start, key_real + (size_t)start * (HEAD / 2),
           key_imaginary + (size_t)start * (HEAD / 2), key_tokens - start, KEYS, width);
    __syncthreads();
    float scores[KEYS / LANES];
#pragma unroll
    for (unsigned n = 0; n < KEYS / LANES; n++) scores[n] = 0.f;
    for (unsigned c = 0; c < HEAD; c++) {
      const float x = own[row * STRIDE + c];
#pragma unroll
      for (unsigned n = 0; n < KEYS / LANES; n++) {
        scores[n] = fmaf(x, tile[(n * LANES + lane) * STRIDE + c], scores[n]);
      }
    }
    float best = top;
#pragma unroll
    for (unsigned n = 0; n < KEYS / LANES; n++) {
      scores[n] = start + n * LANES + lane < key_tokens ? scores[n] * scale : LOWEST;
      best = fmaxf(best, scores[n]);
    }
    best = fmaxf(best, __shfl_xor_sync(0xffffffffu, best, 1));
    best = fmaxf(best, __shfl_xor_sync(0xffffffffu, best, 2));
    const float fade = expf(top - best);
    float part = 0.f;
#pragma unroll
    for (unsigned n = 0; n < KEYS / LANES; n++) {
      const float weight = expf(scores[n] - best);
      part += weight;
      weights[row * (KEYS + 1) + n * LANES + lane] = weight;
    }
    part += __shfl_xor_sync(0xffffffffu, part, 1);
    part += __shfl_xor_sync(0xffffffffu, part, 2);
    sum = fmaf(sum, fade, part);
    top = best;
    __syncthreads();  // The keys have been used, and the weights are there.
    gather(tile, v + column, keys + start, 0, 0, key_tokens - start, KEYS, width);
    __syncthreads();
#pragma unroll
    for (unsigned m = 0; m < HEAD / LANES; m++) result[m] *= fade;
    for (unsigned key = 0; key < KEYS; key++) {
      const float weight = weights[row * (KEYS + 1) + key];
#pragma unroll
      for (unsigned m = 0; m < HEAD / LANES; m++) {
        result[m] = fmaf(weight, tile[key * STRIDE + m * LANES + lane], result[m]);
      }
    }
  }
  if (first + row >= query_tokens) return;
  float* y = out + ((size_t)blockIdx.z * query_tokens + first + row) * width + column;
#pragma unroll
  for (unsigned m = 0; m < HEAD / LANES; m++) y[m * LANES + lane] = result[m] / sum;
}
