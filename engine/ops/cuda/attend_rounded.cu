// Softmax attention over gathered rows as in attend.cu, its factors rounded to 16-bit floats for the units that multiply
// small matrices. A warp has 16 queries and keeps them, their scores and their results in registers; the block's warps
// share tiles of keys and values. HEAD is at most 128 and a multiple of 16.
#define WARPS 8
#define QUERIES (16 * WARPS)
#define KEYS 64
#define PAIRS (HEAD / 2)
// Words of a row of a tile: the rows that a warp reads at once begin four banks apart.
#define KEY_STRIDE (PAIRS + 4)
#define VALUE_STRIDE (KEYS / 2 + 4)
#define LOWEST -3.402823466e38f

#ifdef __CUDA_ARCH__
// Two 16-bit floats in a word.
__device__ unsigned halves(float low, float high) {
  unsigned word;
  // What is no number stays none.
  if (low == low) low = fminf(fmaxf(low, -65504.f), 65504.f);
  if (high == high) high = fminf(fmaxf(high, -65504.f), 65504.f);
  asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(word) : "f"(high), "f"(low));
  return word;
}

// c (16, 8) += a (16, 16) · b (16, 8). In thread 4 g + t of a warp: a has rows g and g + 8 of columns 2 t and 2 t + 1,
// then of columns 2 t + 8 and 2 t + 9; b rows 2 t and 2 t + 1, then 2 t + 8 and 2 t + 9, of column g; c row g, then
// row g + 8, of columns 2 t and 2 t + 1. (PTX ISA, "Matrix Fragments for mma.m16n8k16 with floating point type".)
__device__ void multiply(float* c, const unsigned* a, unsigned b0, unsigned b1) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}
#endif

// A pair of channels, turned by a phase.
__device__ unsigned turned(const number* x, float real, float imaginary) {
  const float a = wide(x[0]), b = wide(x[1]);
  return halves(fmaf(a, real, -(b * imaginary)), fmaf(a, imaginary, b * real));
}

KERNEL attend_rounded(const number* __restrict__ q, const number* __restrict__ k, const number* __restrict__ v,
                      const unsigned* __restrict__ queries, const unsigned* __restrict__ keys,
                      const float* __restrict__ query_real, const float* __restrict__ query_imaginary,
                      const float* __restrict__ key_real, const float* __restrict__ key_imaginary,
                      unsigned query_tokens, unsigned key_tokens, unsigned width, number* __restrict__ out) {
  __shared__ unsigned tile[KEYS * KEY_STRIDE], across[HEAD * VALUE_STRIDE];
  const unsigned group = threadIdx.x % 32 / 4, part = threadIdx.x % 4;
  const unsigned first = blockIdx.x * QUERIES + threadIdx.x / 32 * 16, column = blockIdx.y * HEAD;
  const float scale = 1.f / sqrtf((float)HEAD);
  queries += (size_t)blockIdx.z * query_tokens;
  keys += (size_t)blockIdx.z * key_tokens;
  unsigned query[HEAD / 16][4];
#pragma unroll
  for (unsigned i = 0; i < HEAD / 4; i++) {
    const unsigned row = first + group + i % 2 * 8, pair = i / 4 * 8 + part + i / 2 % 2 * 4;
    const size_t phase = (size_t)row * PAIRS + pair;
    query[i / 4][i % 4] = row < query_tokens
        ? turned(q + (size_t)queries[row] * width + column + 2 * pair, query_real[phase], query_imaginary[phase]) : 0;
  }
  // Of rows `group` and `group` + 8; a sum is of the keys that this thread has.
  float top[2] = {LOWEST, LOWEST}, sum[2] = {0.f, 0.f}, result[HEAD / 8][4];
#pragma unroll
  for (unsigned i = 0; i < HEAD / 2; i++) result[i / 4][i % 4] = 0.f;
  for (unsigned start = 0; start < key_tokens; start += KEYS) {
    __syncthreads();  // The tiles before have been used.
    for (unsigned at = threadIdx.x; at < KEYS * PAIRS; at += blockDim.x) {
      const unsigned row = at / PAIRS, pair = at % PAIRS, key = start + row;
      const size_t phase = (size_t)key * PAIRS + pair;
      tile[row * KEY_STRIDE + pair] = key < key_tokens
          ? turned(k + (size_t)keys[key] * width + column + 2 * pair, key_real[phase], key_imaginary[phase]) : 0;
    }
    // Values lie channel by channel: a word has those of two keys.
    for (unsigned at = threadIdx.x; at < KEYS / 2 * HEAD; at += blockDim.x) {
      const unsigned pair = at / HEAD, channel = at % HEAD, key = start + 2 * pair;
      const float a = key < key_tokens ? wide(v[(size_t)keys[key] * width + column + channel]) : 0.f;
      const float b = key + 1 < key_tokens ? wide(v[(size_t)keys[key + 1] * width + column + channel]) : 0.f;
      across[channel * VALUE_STRIDE + pair] = halves(a, b);
    }
    __syncthreads();
    float scores[KEYS / 8][4];
#pragma unroll
    for (unsigned n = 0; n < KEYS / 8; n++) {
      scores[n][0] = scores[n][1] = scores[n][2] = scores[n][3] = 0.f;
#pragma unroll
      for (unsigned c = 0; c < HEAD / 16; c++) {
        const unsigned* key = tile + (n * 8 + group) * KEY_STRIDE + c * 8 + part;
        multiply(scores[n], query[c], key[0], key[4]);
      }
    }
    float best[2] = {top[0], top[1]}, fade[2];
#pragma unroll
    for (unsigned i = 0; i < KEYS / 2; i++) {
      float* score = &scores[i / 4][i % 4];
      *score = start + i / 4 * 8 + 2 * part + i % 2 < key_tokens ? *score * scale : LOWEST;
      best[i / 2 % 2] = fmaxf(best[i / 2 % 2], *score);
    }
#pragma unroll
    for (unsigned row = 0; row < 2; row++) {
      best[row] = fmaxf(best[row], __shfl_xor_sync(0xffffffffu, best[row], 1));
      best[row] = fmaxf(best[row], __shfl_xor_sync(0xffffffffu, best[row], 2));
      fade[row] = expf(top[row] - best[row]);
      top[row] = best[row];
      sum[row] *= fade[row];
    }
#pragma unroll
    for (unsigned i = 0; i < KEYS / 2; i++) {
      float* score = &scores[i / 4][i % 4];
      *score = expf(*score - best[i / 2 % 2]);
      sum[i / 2 % 2] += *score;
    }
#pragma unroll
    for (unsigned i = 0; i < HEAD / 2; i++) result[i / 4][i % 4] *= fade[i / 2 % 2];
#pragma unroll
    for (unsigned c = 0; c < KEYS / 16; c++) {
      const float *low = scores[2 * c], *high = scores[2 * c + 1];
      const unsigned weights[4] = {halves(low[0], low[1]), halves(low[2], low[3]), halves(high[0], high[1]), halves(high[2], high[3])};
#pragma unroll
      for (unsigned n = 0; n < HEAD / 8; n++) {
        const unsigned* value = across + (n * 8 + group) * VALUE_STRIDE + c * 8 + part;
        multiply(result[n], weights, value[0], value[4]);
      }
    }
  }
#pragma unroll
  for (unsigned row = 0; row < 2; row++) {
    sum[row] += __shfl_xor_sync(0xffffffffu, sum[row], 1);
    sum[row] += __shfl_xor_sync(0xffffffffu, sum[row], 2);
  }
#pragma unroll
  for (unsigned i = 0; i < HEAD / 2; i++) {
    const unsigned row = first + group + i / 2 % 2 * 8, channel = i / 4 * 8 + 2 * part + i % 2;
    if (row < query_tokens) {
      out[((size_t)blockIdx.z * query_tokens + row) * width + column + channel] = narrow(result[i / 4][i % 4] / sum[i / 2 % 2]);
    }
  }
}
