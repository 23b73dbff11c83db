/* c = alpha * (a @ b) + beta * bias in IEEE float32: every output is one chain of fused multiply-adds,
 * acc = fma(a[k], b[k], acc), k ascending from +0. That is all the order there is, so the cut (how many outputs a
 * thread, a block) moves no bit, and neither does adding products of zeros; -0 is written as +0 for the same reason.
 *
 * a (M, K) with rows lda apart, b stored (N, K) with rows ldb apart (B_NK) or (K, N), c (M, N) contiguous.
 * Set by the caller: BM, BN outputs a block, TM, TN outputs a thread, B_NK and VEC (rows may be read 16 bytes at a time);
 * and for few rows, with both of these true, STEP and STAGES instead.
 */
__device__ inline float finish(float acc, const float *bias, long long at, float alpha, float beta) {
    acc = __fadd_rn(acc, 0.0f);
    if (alpha != 1.0f || beta != 1.0f) {
        acc = __fmul_rn(acc, alpha);
        return bias ? __fadd_rn(acc, __fmul_rn(bias[at], beta)) : acc;
    }
    return bias ? __fadd_rn(acc, bias[at]) : acc;
}

#ifndef STAGES
#define BK 16
#define THREADS ((BM / TM) * (BN / TN))

__device__ inline float4 four(const float *x, int row, int rows, int at, int end, int ld) {
    float4 v = {0, 0, 0, 0};                                     /* past the edge: zeros */
    if (row >= rows) return v;
    const float *p = x + (long long)row * ld + at;
    if (VEC) { if (at < end) v = *(const float4 *)p; return v; }
    if (at < end) v.x = p[0];
    if (at + 1 < end) v.y = p[1];
    if (at + 2 < end) v.z = p[2];
    if (at + 3 < end) v.w = p[3];
    return v;
}

extern "C" __global__ void __launch_bounds__(THREADS, 2)
matmul_fp32(const float *a, const float *b, float *c, const float *bias, int M, int N, int K, int lda, int ldb,
            int bias_m, int bias_n, double alpha, double beta) {
    __shared__ __align__(16) float A[2][BK][BM + 4], B[2][BK][BN + 4];
    const int t = threadIdx.x, warp = t / 32, lane = t % 32, across = BN / TN / 8;
    const int tn = lane % 8 + 8 * (warp % across), tm = lane / 8 + 4 * (warp / across);
    const int m0 = blockIdx.y * BM, n0 = blockIdx.x * BN;
    constexpr int LA = BM * BK / 4 / THREADS, LB = BN * BK / 4 / THREADS;
    float4 next_a[LA], next_b[LB];
    float acc[TM][TN] = {};

    auto fetch = [&](int k0) {
        for (int i = 0; i < LA; i++) {
            int at = t + i * THREADS;
            next_a[i] = four(a, m0 + at / (BK / 4), M, k0 + at % (BK / 4) * 4, K, lda);
        }
        for (int i = 0; i < LB; i++) {
            int at = t + i * THREADS;
            next_b[i] = B_NK ? four(b, n0 + at / (BK / 4), N, k0 + at % (BK / 4) * 4, K, ldb)
                             : four(b, k0 + at / (BN / 4), K, n0 + at % (BN / 4) * 4, N, ldb);
        }
    };
    auto keep = [&](int s) {                                      /* turned, so that a thread reads 4 rows at once */
        for (int i = 0; i < LA; i++) {
            int at = t + i * THREADS, m = at / (BK / 4), k = at % (BK / 4) * 4;
            A[s][k][m] = next_a[i].x, A[s][k + 1][m] = next_a[i].y;
            A[s][k + 2][m] = next_a[i].z, A[s][k + 3][m] = next_a[i].w;
        }
        for (int i = 0; i < LB; i++) {
            int at = t + i * THREADS;
            if (B_NK) {
                int n = at / (BK / 4), k = at % (BK / 4) * 4;
                B[s][k][n] = next_b[i].x, B[s][k + 1][n] = next_b[i].y;
                B[s][k + 2][n] = next_b[i].z, B[s][k + 3][n] = next_b[i].w;
            } else *(float4 *)&B[s][at / (BN / 4)][at % (BN / 4) * 4] = next_b[i];
        }
    };

    fetch(0);
    keep(0);
    __syncthreads();
    for (int k0 = 0, s = 0; k0 < K; k0 += BK, s ^= 1) {
        bool more = k0 + BK < K;
        if (more) fetch(k0 + BK);
#pragma unroll
        for (int k = 0; k < BK; k++) {
            float x[TM], y[TN];
            for (int i = 0; i < TM; i += 4) *(float4 *)&x[i] = *(float4 *)&A[s][k][tm * 4 + i / 4 * (BM / (TM / 4))];
            for (int j = 0; j < TN; j += 4) *(float4 *)&y[j] = *(float4 *)&B[s][k][tn * 4 + j / 4 * (BN / (TN / 4))];
#pragma unroll
            for (int i = 0; i < TM; i++)
#pragma unroll
                for (int j = 0; j < TN; j++) acc[i][j] = __fmaf_rn(x[i], y[j], acc[i][j]);
        }
        if (more) keep(s ^ 1);
        __syncthreads();
    }
    for (int i = 0; i < TM; i++) {
        int m = m0 + tm * 4 + i / 4 * (BM / (TM / 4)) + i % 4;
        for (int j = 0; j < TN; j++) {
            int n = n0 + tn * 4 + j / 4 * (BN / (TN / 4)) + j % 4;
            if (m < M && n < N)
                c[(long long)m * N + n] =
                    finish(acc[i][j], bias, (long long)m * bias_m + (long long)n * bias_n, (float)alpha, (float)beta);
        }
    }
}

#else
/* Few rows: what costs is reading b (N, K) once, so what counts is how far ahead it is fetched: STAGES steps of STEP
 * along k, 16 bytes at a time, by all threads. A thread makes rows row, row + MT, ... by columns col, col + NT, ... */
#define LINE (STEP + 4)                                           /* 8 lines next to each other: 8 groups of banks */
#define NT (BN / TN)
#define MT (BM / TM)
#define THREADS (NT * MT)
extern "C" __global__ void __launch_bounds__(THREADS)
matmul_fp32_few(const float *a, const float *b, float *c, const float *bias, int M, int N, int K, int lda, int ldb,
                int bias_m, int bias_n, double alpha, double beta) {
    extern __shared__ __align__(16) float shared[];
    const int t = threadIdx.x, lane = t % 32, warp = t / 32, m0 = blockIdx.y * BM, n0 = blockIdx.x * BN;
    const int col = lane % 8 + 8 * (warp % (NT / 8)), row = lane / 8 + 4 * (warp / (NT / 8));
    float acc[TM][TN] = {};
    auto fetch = [&](int step) {
        int k0 = step * STEP;
#pragma unroll
        for (int at = t; at < (BN + BM) * (STEP / 4); at += THREADS) {
            int line = at / (STEP / 4), k = k0 + at % (STEP / 4) * 4;
            bool of_b = line < BN;
            int from_row = of_b ? n0 + line : m0 + line - BN;
            int bytes = k < K && from_row < (of_b ? N : M) ? 16 : 0;                     /* past the edge: zeros */
            const float *from = of_b ? b + (long long)from_row * ldb : a + (long long)from_row * lda;
            float *to = shared + step % STAGES * (BN + BM) * LINE + line * LINE + at % (STEP / 4) * 4;
            asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::
                "r"((unsigned)__cvta_generic_to_shared(to)), "l"(bytes ? from + k : b), "r"(bytes));
        }
        asm volatile("cp.async.commit_group;");
    };
    for (int s = 0; s < STAGES - 1; s++) fetch(s);
    for (int step = 0; step * STEP < K; step++) {
        asm volatile("cp.async.wait_group %0;" :: "n"(STAGES - 2));
        __syncthreads();
        fetch(step + STAGES - 1);
        const float *B = shared + step % STAGES * (BN + BM) * LINE + col * LINE;
        const float *A = shared + step % STAGES * (BN + BM) * LINE + (BN + row) * LINE;
#pragma unroll 8
        for (int k = 0; k < STEP; k += 4) {
            float4 x[TM], y[TN];
#pragma unroll
            for (int j = 0; j < TN; j++) y[j] = *(const float4 *)(B + j * NT * LINE + k);
#pragma unroll
            for (int i = 0; i < TM; i++) x[i] = *(const float4 *)(A + i * MT * LINE + k);
#pragma unroll
            for (int i = 0; i < TM; i++)
#pragma unroll
                for (int j = 0; j < TN; j++) {
                    acc[i][j] = __fmaf_rn(x[i].x, y[j].x, acc[i][j]);
                    acc[i][j] = __fmaf_rn(x[i].y, y[j].y, acc[i][j]);
                    acc[i][j] = __fmaf_rn(x[i].z, y[j].z, acc[i][j]);
                    acc[i][j] = __fmaf_rn(x[i].w, y[j].w, acc[i][j]);
                }
        }
    }
    for (int i = 0; i < TM; i++)
        for (int j = 0; j < TN; j++) {
            int m = m0 + row + i * MT, n = n0 + col + j * NT;
            if (m < M && n < N)
                c[(long long)m * N + n] =
                    finish(acc[i][j], bias, (long long)m * bias_m + (long long)n * bias_n, (float)alpha, (float)beta);
        }
}
#endif
