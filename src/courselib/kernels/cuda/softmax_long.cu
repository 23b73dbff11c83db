/* softmax and log_softmax of long rows, each row read once: a cluster of CLUSTER blocks (Hopper) holds it in registers,
 * a chunk of it in each warp.
 *
 * The order: a row is cut into chunks of 2048. A warp takes a chunk: lane l the elements 8 l .. 8 l + 7 of each 256, summed
 * one after the other, then a tree over the lanes (l + l^16, ^8, ^4, ^2, ^1). That gives the chunk's largest element m and
 * the sum s of exp(x - m). The pairs of a row are combined by the same tree: lane l takes the chunks l, l + 32, l + 64.
 * (The safe softmax of Milakov and Gimelshein, arXiv:1805.02867.) Nothing depends on how many rows there are.
 *
 * x (R, D), y (R, D), D a multiple of 8, both 16-byte aligned; x holds 16-bit floats, y the same or float32.
 * Set by the caller: CLUSTER, WARPS (a block), BF16, WIDE (y is float32), LOG.
 */
#define VECTORS 8                                                 /* 16-byte loads of a lane in a chunk */
#define CHUNK (VECTORS * 256)

__device__ inline float wide(unsigned bits) {
#if BF16
    return __uint_as_float(bits << 16);
#else
    float f;
    asm("cvt.f32.f16 %0, %1;" : "=f"(f) : "h"((unsigned short)bits));
    return f;
#endif
}
__device__ inline unsigned narrow(float low, float high) {
    unsigned both;
#if BF16
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(both) : "f"(high), "f"(low));
#else
    asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(both) : "f"(high), "f"(low));
#endif
    return both;
}
#if BF16
#define MINUS_INF 0xff80ff80u
#else
#define MINUS_INF 0xfc00fc00u
#endif
#define INF __int_as_float(0x7f800000)
#define EACH(v, f) { unsigned w[4] = {v.x, v.y, v.z, v.w}; \
    for (int q = 0; q < 4; q++) { { float e = wide(w[q] & 0xffff); f } { float e = wide(w[q] >> 16); f } } }

__device__ inline float finite(float m) { return isinf(m) ? 0.0f : m; }        /* inf - inf would be NaN */
__device__ inline float largest(float m) {
    for (int d = 16; d; d /= 2) m = fmaxf(m, __shfl_xor_sync(~0u, m, d));
    return m;
}
__device__ inline float total(float s) {
    for (int d = 16; d; d /= 2) s = __fadd_rn(s, __shfl_xor_sync(~0u, s, d));
    return s;
}

extern "C" __global__ void __cluster_dims__(CLUSTER, 1, 1) __launch_bounds__(32 * WARPS)
softmax_long(const uint4 *x, uint4 *y, int R, int D) {
    __shared__ float2 pairs[CLUSTER * WARPS];
    const int lane = threadIdx.x % 32, chunk = blockIdx.x % CLUSTER * WARPS + threadIdx.x / 32;
    const long long start = blockIdx.x / CLUSTER * (long long)(D / 8);
    const int first = chunk * (CHUNK / 8) + lane, chunks = (D + CHUNK - 1) / CHUNK;
    uint4 v[VECTORS];
#pragma unroll
    for (int j = 0; j < VECTORS; j++)
        v[j] = first + j * 32 < D / 8 ? __ldcs(x + start + first + j * 32)
                                      : make_uint4(MINUS_INF, MINUS_INF, MINUS_INF, MINUS_INF);
    asm volatile("barrier.cluster.arrive.relaxed.aligned;\nbarrier.cluster.wait.aligned;");   /* all blocks are there */
    float m = -INF, s = 0;
#pragma unroll
    for (int j = 0; j < VECTORS; j++) EACH(v[j], m = fmaxf(m, e);)
    m = largest(m);
#pragma unroll
    for (int j = 0; j < VECTORS; j++) EACH(v[j], s = __fadd_rn(s, __expf(__fsub_rn(e, finite(m))));)
    s = total(s);
    if (lane < CLUSTER) {                                         /* tell every block of the cluster */
        unsigned here = (unsigned)__cvta_generic_to_shared(pairs + chunk), there;
        asm("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(there) : "r"(here), "r"(lane));
        asm volatile("st.shared::cluster.v2.f32 [%0], {%1, %2};" :: "r"(there), "f"(m), "f"(s) : "memory");
    }
    asm volatile("barrier.cluster.arrive.release.aligned;\nbarrier.cluster.wait.acquire.aligned;" ::: "memory");
    m = -INF, s = 0;
    for (int c = lane; c < chunks; c += 32) m = fmaxf(m, pairs[c].x);
    m = largest(m);
    for (int c = lane; c < chunks; c += 32)
        s = __fadd_rn(s, __fmul_rn(pairs[c].y, __expf(__fsub_rn(pairs[c].x, finite(m)))));
    s = total(s);
    if (m == INF) s = __int_as_float(0x7fffffff);                 /* +inf in the row: NaN, as in PyTorch */
    const float scale = LOG ? logf(s) : __fdiv_rn(1.0f, s);
#define ANSWER(e) (LOG ? __fsub_rn(__fsub_rn(e, m), scale) : __fmul_rn(__expf(__fsub_rn(e, m)), scale))
#pragma unroll
    for (int j = 0; j < VECTORS; j++) {
        const long long at = start + first + j * 32;
        int n = 0;
        float r[8];
        EACH(v[j], r[n++] = ANSWER(e);)
        if (first + j * 32 >= D / 8) continue;
#if WIDE
        __stcs((float4 *)y + 2 * at, make_float4(r[0], r[1], r[2], r[3]));
        __stcs((float4 *)y + 2 * at + 1, make_float4(r[4], r[5], r[6], r[7]));
#else
        __stcs(y + at, make_uint4(narrow(r[0], r[1]), narrow(r[2], r[3]), narrow(r[4], r[5]), narrow(r[6], r[7])));
#endif
    }
}
