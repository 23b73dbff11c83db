/* Fixed-order CPU kernels for float32: the order of every sum is written down, and nothing else decides it.
 *
 * The promise, "fixed-order/1": an output is a function of its own row's inputs alone. The same bytes come out for
 * any batch, row, padding, neighbour, thread count, memory alignment and SIMD width, on any machine whose float is
 * IEEE-754 binary32. fixed_torch.py states the same orders in PyTorch and gives the same bytes.
 *
 *   linear      y[n] = ((x[0] w[0][n] + x[1] w[1][n]) + x[2] w[2][n]) + ...    one accumulator per output, k ascending
 *   lane sum    16 accumulators from +0; element i goes to accumulator i % 16, i ascending; then a tree:
 *               lane l + lane l+8, then l + l+4, l + l+2, l + l+1
 *   rms_norm    s = lane sum of x[i] x[i];   y[i] = (x[i] * (1 / sqrt(s / D + eps))) * w[i]
 *   softmax     m = max;  e[i] = exp(x[i] - m);  y[i] = e[i] / lane sum of e
 *   log_softmax y[i] = (x[i] - m) - log(lane sum of e)
 *   attention   s[j] = (lane sum over d of q[d] k[j][d]) * scale, for the slots j that the row may see, counted
 *               from the row's own first slot;  e[j] = exp(s[j] - max);  l = lane sum over j of e[j];
 *               o[d] = (e[0] v[0][d] + e[1] v[1][d] + ...) / l, j ascending. A masked slot is never read.
 *   silu, gelu  x / (1 + exp(-x)),  x / (1 + exp(-2u)) with u = sqrt(2/pi) (x + 0.044715 x^3)
 *
 * What keeps the promise: every operation is one IEEE operation (+ - * / sqrt, compare), rounded once. The build
 * forbids fusing a multiply with an add (-ffp-contract=off) and has no fast-math, so a vector lane does what a
 * scalar would. libm is not called: exp and log are below. Bits of a NaN are not promised, as IEEE does not; nor is
 * anything that comes near a subnormal once a program has told its processor to flush those to zero.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef float v16 __attribute__((vector_size(64)));   /* 16 lanes; the compiler maps them to what the CPU has */
typedef float v8 __attribute__((vector_size(32)));
typedef float v4 __attribute__((vector_size(16)));
typedef int32_t i16v __attribute__((vector_size(64)));
typedef int64_t i64;
#define INLINE static inline __attribute__((always_inline))

INLINE v16 splat(float x) { return (v16){x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x}; }
INLINE v16 load(const float *p) { v16 v; memcpy(&v, p, sizeof v); return v; }   /* any alignment */
INLINE void store(float *p, v16 v) { memcpy(p, &v, sizeof v); }
/* The first n lanes from memory, the rest +0. Adding +0 or -0 to a sum that began at +0 moves no bit. */
INLINE v16 load_n(const float *p, i64 n) { v16 v = splat(0); memcpy(&v, p, (size_t)n * sizeof(float)); return v; }
INLINE void store_n(float *p, v16 v, i64 n) { memcpy(p, &v, (size_t)n * sizeof(float)); }
INLINE v16 pick(i16v mask, v16 yes, v16 no) { return (v16)((mask & (i16v)yes) | (~mask & (i16v)no)); }

/* The tree over 16 lanes: 8 + 8, 4 + 4, 2 + 2, 1 + 1. */
INLINE float tree(v16 v) {
    v8 a, b;
    memcpy(&a, &v, 32), memcpy(&b, (char *)&v + 32, 32), a += b;
    v4 c, d;
    memcpy(&c, &a, 16), memcpy(&d, (char *)&a + 16, 16), c += d;
    return (c[0] + c[2]) + (c[1] + c[3]);
}

/* exp: Cody-Waite reduction x = n ln2 + r, the polynomial of Cephes' expf (S. Moshier), then two scalings by powers
 * of two, so that results below 2^-126 are right too. Within 0.991 ULP of the exact value for every float. */
INLINE v16 vexp(v16 x) {
    const v16 magic = splat(12582912.0f);                        /* 1.5 * 2^23: adding it rounds to an integer */
    x = pick(x > splat(89.0f), splat(89.0f), x);                 /* above: inf; below: 0; a NaN stays a NaN */
    x = pick(x < splat(-104.0f), splat(-104.0f), x);
    v16 t = x * splat(1.44269504088896341f) + magic;
    v16 n = t - magic;
    v16 r = (x - n * splat(0.693359375f)) - n * splat(-2.12194440e-4f);
    v16 p = splat(1.9875691500e-4f);
    p = p * r + splat(1.3981999507e-3f);
    p = p * r + splat(8.3334519073e-3f);
    p = p * r + splat(4.1665795894e-2f);
    p = p * r + splat(1.6666665459e-1f);
    p = p * r + splat(5.0000001201e-1f);
    p = (p * (r * r) + r) + splat(1.0f);
    i16v i = (i16v)t - (i16v)magic, half = i >> 1, rest = i - half;
    return (p * (v16)((half + 127) << 23)) * (v16)((rest + 127) << 23);
}

/* log of a positive number (a sum of exponentials is never below 1, but any float is served): Cephes' logf. Within
 * 0.830 ULP of the exact value for every float. */
INLINE v16 vlog(v16 x) {
    i16v tiny = x < splat(1.17549435e-38f);                      /* subnormal: scale by 2^23, and say so in e */
    v16 y = pick(tiny, x * splat(8388608.0f), x);
    i16v bits = (i16v)y, e = (bits - 0x3f3504f3) >> 23;          /* y = m 2^e, sqrt(1/2) <= m < sqrt(2) */
    v16 f = (v16)(bits - (e << 23)) - splat(1.0f), z = f * f;
    v16 k = __builtin_convertvector(e - (tiny & 23), v16);
    v16 p = splat(7.0376836292e-2f);
    p = p * f + splat(-1.1514610310e-1f);
    p = p * f + splat(1.1676998740e-1f);
    p = p * f + splat(-1.2420140846e-1f);
    p = p * f + splat(1.4249322787e-1f);
    p = p * f + splat(-1.6668057665e-1f);
    p = p * f + splat(2.0000714765e-1f);
    p = p * f + splat(-2.4999993993e-1f);
    p = p * f + splat(3.3333331174e-1f);
    p = (p * f) * z;
    p = p + k * splat(-2.12194440e-4f);
    p = p - splat(0.5f) * z;
    v16 r = (f + p) + k * splat(0.693359375f);
    const v16 inf = splat(__builtin_inff());
    r = pick(x == inf, inf, r);
    r = pick(x == splat(0), -inf, r);
    return pick((x < splat(0)) | (x != x), splat(__builtin_nanf("")), r);
}

/* ---- linear: x (M, K) rows ldx apart, w (K, N) rows ldw apart, y (M, N) rows ldy apart ------------------------- */

/* mr rows by nv vectors of outputs, all of k: a tile holds accumulators in registers and changes no order. */
INLINE void tile(const float *x, i64 ldx, const float *w, i64 ldw, float *y, i64 ldy, i64 K, int mr, int nv) {
    v16 acc[4][8];
    for (int i = 0; i < mr; i++)
        for (int j = 0; j < nv; j++) acc[i][j] = splat(0);
    for (i64 k = 0; k < K; k++)
        for (int j = 0; j < nv; j++) {
            v16 wk = load(w + k * ldw + 16 * j);
            for (int i = 0; i < mr; i++) acc[i][j] += splat(x[i * ldx + k]) * wk;
        }
    for (int i = 0; i < mr; i++)
        for (int j = 0; j < nv; j++) store(y + i * ldy + 16 * j, acc[i][j]);
}

static void panel(const float *x, i64 ldx, const float *w, i64 ldw, float *y, i64 ldy, i64 M, i64 K, i64 n) {
    i64 m = 0;
    if (n == 64) {
#ifdef __AVX512F__
        for (; m + 4 <= M; m += 4) tile(x + m * ldx, ldx, w, ldw, y + m * ldy, ldy, K, 4, 4);
#else
        for (; m + 2 <= M; m += 2) tile(x + m * ldx, ldx, w, ldw, y + m * ldy, ldy, K, 2, 2),
                                   tile(x + m * ldx, ldx, w + 32, ldw, y + m * ldy + 32, ldy, K, 2, 2);
#endif
        for (; m < M; m++) tile(x + m * ldx, ldx, w, ldw, y + m * ldy, ldy, K, 1, 4);
        return;
    }
    for (; m < M; m++)                                            /* the last n < 64 outputs, 16 at a time */
        for (i64 j = 0; j < n; j += 16) {
            i64 left = n - j < 16 ? n - j : 16;
            v16 acc = splat(0);
            for (i64 k = 0; k < K; k++) acc += splat(x[m * ldx + k]) * load_n(w + k * ldw + j, left);
            store_n(y + m * ldy + j, acc, left);
        }
}

void linear(const float *x, i64 ldx, const float *w, i64 ldw, float *y, i64 ldy, i64 M, i64 K, i64 N) {
    i64 n = 0;
    if (M == 1)                                                   /* decode: 128 outputs at a time hide the latency */
        for (; n + 128 <= N; n += 128) tile(x, ldx, w + n, ldw, y + n, ldy, K, 1, 8);
    for (; n < N; n += 64) panel(x, ldx, w + n, ldw, y + n, ldy, M, K, N - n < 64 ? N - n : 64);
}

/* The same for w stored (N, K), as torch.nn.Linear does: 64 outputs' weights are turned around first. Returns 1 when
 * there is no memory to turn them in. */
int linear_nk(const float *x, i64 ldx, const float *w, i64 ldw, float *y, i64 ldy, i64 M, i64 K, i64 N) {
    float *turned = malloc((size_t)(K + 1) * 64 * sizeof(float));
    if (!turned) return 1;
    for (i64 n = 0; n < N; n += 64) {
        i64 width = N - n < 64 ? N - n : 64;
        for (i64 j = 0; j < width; j++)
            for (i64 k = 0; k < K; k++) turned[k * 64 + j] = w[(n + j) * ldw + k];
        panel(x, ldx, turned, 64, y + n, ldy, M, K, width);
    }
    free(turned);
    return 0;
}

/* ---- rows: x and y are (rows, D), contiguous ------------------------------------------------------------------- */

void rms_norm(const float *x, const float *w, float *y, i64 rows, i64 D, float eps) {
    for (i64 r = 0; r < rows; r++, x += D, y += D) {
        v16 acc = splat(0);
        i64 i = 0;
        for (; i + 16 <= D; i += 16) acc += load(x + i) * load(x + i);
        if (i < D) acc += load_n(x + i, D - i) * load_n(x + i, D - i);
        float scale = 1.0f / __builtin_sqrtf(tree(acc) / (float)D + eps);
        for (i = 0; i < D; i++) y[i] = (x[i] * scale) * w[i];
    }
}

INLINE float row_max(const float *x, i64 n) {
    float m = x[0];
    for (i64 i = 1; i < n; i++) m = x[i] > m ? x[i] : m;          /* exact, so its order is free */
    return m;
}

/* y[i] = exp(x[i] - m) and their lane sum. */
INLINE float exp_sum(const float *x, float *y, i64 n, float m) {
    v16 acc = splat(0);
    i64 i = 0;
    for (; i + 16 <= n; i += 16) {
        v16 e = vexp(load(x + i) - splat(m));
        store(y + i, e);
        acc += e;
    }
    if (i < n) {
        store_n(y + i, vexp(load_n(x + i, n - i) - splat(m)), n - i);
        acc += load_n(y + i, n - i);
    }
    return tree(acc);
}

void softmax(const float *x, float *y, i64 rows, i64 D) {
    for (i64 r = 0; r < rows; r++, x += D, y += D) {
        float sum = exp_sum(x, y, D, row_max(x, D));
        for (i64 i = 0; i < D; i++) y[i] = y[i] / sum;
    }
}

void log_softmax(const float *x, float *y, i64 rows, i64 D) {
    for (i64 r = 0; r < rows; r++, x += D, y += D) {
        float m = row_max(x, D), sum = exp_sum(x, y, D, m), log_sum;
        store_n(&log_sum, vlog(splat(sum)), 1);
        for (i64 i = 0; i < D; i++) y[i] = (x[i] - m) - log_sum;
    }
}

/* ---- elementwise ----------------------------------------------------------------------------------------------- */

#define ELEMENTWISE(name, expression)                                             \
    void name(const float *in, float *out, i64 n) {                               \
        const v16 one = splat(1.0f);                                              \
        (void)one;                                                                \
        for (i64 i = 0; i < n; i += 16) {                                         \
            i64 left = n - i < 16 ? n - i : 16;                                   \
            v16 x = left == 16 ? load(in + i) : load_n(in + i, left);             \
            v16 y = expression;                                                   \
            if (left == 16) store(out + i, y); else store_n(out + i, y, left);    \
        }                                                                         \
    }
ELEMENTWISE(exp_, vexp(x))
ELEMENTWISE(log_, vlog(x))
ELEMENTWISE(silu, x / (one + vexp(-x)))
ELEMENTWISE(gelu, x / (one + vexp(splat(-1.59576912160573071f) * (x + (splat(0.044715f) * x) * (x * x)))))

/* x (B, H, T, d) with element strides sb, sh, st; c and s (B, T, d/2); y (B, H, T, d) contiguous. */
void rope(const float *x, i64 sb, i64 sh, i64 st, const float *c, const float *s, float *y,
          i64 B, i64 H, i64 T, i64 d) {
    i64 h2 = d / 2;
    for (i64 b = 0; b < B; b++)
        for (i64 h = 0; h < H; h++)
            for (i64 t = 0; t < T; t++, y += d) {
                const float *xr = x + b * sb + h * sh + t * st, *cr = c + (b * T + t) * h2, *sr = s + (b * T + t) * h2;
                for (i64 i = 0; i < h2; i++) {
                    y[i] = xr[i] * cr[i] - xr[i + h2] * sr[i];
                    y[i + h2] = xr[i + h2] * cr[i] + xr[i] * sr[i];
                }
            }
}

/* ---- attention ------------------------------------------------------------------------------------------------- */

/* One query row against the n slots it may see. scores: room for n floats. */
static void attend(const float *q, const float *k, i64 ks, const float *v, i64 vs, float *o, i64 n, i64 d,
                   float scale, float *scores) {
    for (i64 j = 0; j < n; j++) {
        v16 acc = splat(0);
        i64 i = 0;
        for (; i + 16 <= d; i += 16) acc += load(q + i) * load(k + j * ks + i);
        if (i < d) acc += load_n(q + i, d - i) * load_n(k + j * ks + i, d - i);
        scores[j] = tree(acc) * scale;
    }
    v16 sum = splat(exp_sum(scores, scores, n, row_max(scores, n)));
    i64 i = 0;
    for (; i + 32 <= d; i += 32) {
        v16 a = splat(0), b = splat(0);
        for (i64 j = 0; j < n; j++) {
            a += splat(scores[j]) * load(v + j * vs + i);
            b += splat(scores[j]) * load(v + j * vs + i + 16);
        }
        store(o + i, a / sum);
        store(o + i + 16, b / sum);
    }
    for (; i < d; i += 16) {
        i64 left = d - i < 16 ? d - i : 16;
        v16 a = splat(0);
        for (i64 j = 0; j < n; j++) a += splat(scores[j]) * load_n(v + j * vs + i, left);
        store_n(o + i, a / sum, left);
    }
}

/* Query heads [r0, r1) of the B*H there are. q (B, H, T, d), k and v (B, H_kv, S, d) by element strides (batch, head,
 * row; d contiguous); o (B, T, H, d) contiguous. Row t of sequence b sees the slots first[b] .. past[b] + t; a row
 * that does not count (t >= count[b]), or sees none, gives zeros. Returns 1 when there is no memory for the scores. */
int attention(const float *q, const i64 *qs, const float *k, const i64 *ks, const float *v, const i64 *vs, float *o,
              const i64 *past, const i64 *first, const i64 *count,
              i64 r0, i64 r1, i64 H, i64 H_kv, i64 T, i64 S, i64 d, float scale) {
    float *scores = malloc((size_t)(S + 16) * sizeof(float));
    if (!scores) return 1;
    for (i64 r = r0; r < r1; r++) {
        i64 b = r / H, h = r % H, g = h / (H / H_kv);             /* g: the K/V head that query head h shares */
        for (i64 t = 0; t < T; t++) {
            float *row = o + ((b * T + t) * H + h) * d;
            i64 n = t < count[b] ? past[b] + t + 1 - first[b] : 0;
            if (n <= 0) memset(row, 0, (size_t)d * sizeof(float));
            else attend(q + b * qs[0] + h * qs[1] + t * qs[2],
                        k + b * ks[0] + g * ks[1] + first[b] * ks[2], ks[2],
                        v + b * vs[0] + g * vs[1] + first[b] * vs[2], vs[2], row, n, d, scale, scores);
        }
    }
    free(scores);
    return 0;
}
