/* Fixed-order CPU kernels for float32: the order of every sum is written down, and nothing else decides it.
 *
 * The promise, "fixed-order/1": an output is a function of its own row's inputs alone. The same bytes come out for
 * any batch, row, padding, neighbour, thread count, memory alignment and SIMD width, on any machine whose float is
 * IEEE-754 binary32. fixed_torch.py and primitives_torch.py state the same orders in PyTorch and give the same bytes.
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
 *               masked_attention is the same with a mask added to s; a masked slot inside the row keeps its place
 *               in the lanes of l, as +0. lse = max + log(l)
 *   layer_norm  mean = lane sum of x[i] / D;  s = lane sum of (x[i] - mean)^2;  r = 1 / sqrt(s / D + eps);
 *               y[i] = ((x[i] - mean) * r) * w[i] + b[i]
 *   logsumexp   log(lane sum of exp(x[i] - m)) + m, with m = max, or 0 where that is infinite
 *   reduce      lane sum over the middle of (O, D, I), of x or (x - shift) or its square, then / divisor: the lanes
 *               are counted along D whatever I is, so a column gives the bytes of the same numbers in a row
 *   silu, gelu  x / (1 + exp(-x)),  x / (1 + exp(-2u)) with u = sqrt(2/pi) (x + 0.044715 x^3)
 *   sigmoid     1 / (1 + exp(-x))
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
typedef uint32_t u16v __attribute__((vector_size(64)));       /* for words, whose sums may wrap around */
typedef int32_t i4v __attribute__((vector_size(16)));
typedef int64_t i64;
#if defined __clang__ || __GNUC__ >= 12
#define SHUFFLE(mask, a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define SHUFFLE(mask, a, b, ...) __builtin_shuffle(a, b, (mask){__VA_ARGS__})
#endif
/* A matrix product works in vectors as wide as the CPU's own (W lanes), in tiles of 4 rows by VECTORS that registers
 * hold. Lanes are outputs there, so the width decides no order. A matrix is turned around in SIDE by SIDE blocks: LOW
 * and HIGH riffle the halves of two rows. */
#if defined __AVX512F__
typedef v16 wide, strip;
enum { W = 16, VECTORS = 4, SIDE = 16 };
#define LOW(a, b) SHUFFLE(i16v, a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23)
#define HIGH(a, b) SHUFFLE(i16v, a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31)
#else
#ifdef __AVX__
typedef v8 wide;
#else
typedef v4 wide;
#endif
typedef v4 strip;
enum { W = sizeof(wide) / sizeof(float), VECTORS = 2, SIDE = 4 };
#define LOW(a, b) SHUFFLE(i4v, a, b, 0, 4, 1, 5)
#define HIGH(a, b) SHUFFLE(i4v, a, b, 2, 6, 3, 7)
#endif
enum { DEPTH = 128 };                                 /* how much of K is laid out at a time */
#define INLINE static inline __attribute__((always_inline))

INLINE v16 splat(float x) { return (v16){x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x}; }
INLINE v16 load(const float *p) { v16 v; memcpy(&v, p, sizeof v); return v; }   /* any alignment */
INLINE void store(float *p, v16 v) { memcpy(p, &v, sizeof v); }
/* The first n lanes from memory, the rest +0. Adding +0 or -0 to a sum that began at +0 moves no bit. */
INLINE v16 load_n(const float *p, i64 n) { v16 v = splat(0); memcpy(&v, p, (size_t)n * sizeof(float)); return v; }
INLINE v16 load_some(const float *p, i64 n) { return n < 16 ? load_n(p, n) : load(p); }
INLINE void store_n(float *p, v16 v, i64 n) { memcpy(p, &v, (size_t)n * sizeof(float)); }
/* v with every lane from n on made +0. */
INLINE v16 keep_n(v16 v, i64 n) { v16 f = splat(0); memcpy(&f, &v, (size_t)n * sizeof(float)); return f; }
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
    u16v i = (u16v)t - (u16v)magic, half = (u16v)((i16v)i >> 1), rest = i - half;
    return (p * (v16)((half + 127) << 23)) * (v16)((rest + 127) << 23);
}

/* log of a positive number (a sum of exponentials is never below 1, but any float is served): Cephes' logf. Within
 * 0.830 ULP of the exact value for every float. */
INLINE v16 vlog(v16 x) {
    i16v tiny = x < splat(1.17549435e-38f);                      /* subnormal: scale by 2^23, and say so in e */
    v16 y = pick(tiny, x * splat(8388608.0f), x);
    u16v bits = (u16v)y;
    i16v e = (i16v)(bits - 0x3f3504f3) >> 23;                    /* y = m 2^e, sqrt(1/2) <= m < sqrt(2) */
    v16 f = (v16)(bits - ((u16v)e << 23)) - splat(1.0f), z = f * f;
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

/* mr rows by nv vectors of outputs, all of k: a tile holds accumulators in registers and changes no order. `more`: y
 * holds the sums over the k before these, which go on; a float comes back from memory as it went. */
INLINE void tile(const float *x, i64 ldx, const float *w, i64 ldw, float *y, i64 ldy, i64 K, int mr, int nv, int more) {
    wide acc[4][8], wk;
    memset(acc, 0, sizeof acc);
    for (int i = 0; more && i < mr; i++)
        for (int j = 0; j < nv; j++) memcpy(&acc[i][j], y + i * ldy + W * j, sizeof wk);
    for (i64 k = 0; k < K; k++)
        for (int j = 0; j < nv; j++) {
            memcpy(&wk, w + k * ldw + W * j, sizeof wk);
            for (int i = 0; i < mr; i++) acc[i][j] += x[i * ldx + k] * wk;
        }
    for (int i = 0; i < mr; i++)
        for (int j = 0; j < nv; j++) memcpy(y + i * ldy + W * j, &acc[i][j], sizeof wk);
}

/* 64 outputs of every row. */
static void panel(const float *x, i64 ldx, const float *w, i64 ldw, float *y, i64 ldy, i64 M, i64 K, int more) {
    i64 m = 0;
    for (; m + 4 <= M; m += 4)
        for (i64 j = 0; j < 64; j += VECTORS * W)
            tile(x + m * ldx, ldx, w + j, ldw, y + m * ldy + j, ldy, K, 4, VECTORS, more);
    for (; m < M; m++)
        for (i64 j = 0; j < 64; j += 4 * W) tile(x + m * ldx, ldx, w + j, ldw, y + m * ldy + j, ldy, K, 1, 4, more);
}

/* n < 64 outputs of every row, through scratch rows: w has 64 columns, of which the last are nobody's. */
static void edge(const float *x, i64 ldx, const float *w, float *y, i64 ldy, i64 M, i64 K, i64 n, int more) {
    float part[4 * 64] = {0};
    for (i64 m = 0, rows; m < M; m += rows) {
        rows = M - m < 4 ? 1 : 4;
        for (i64 i = 0; more && i < rows; i++) memcpy(part + i * 64, y + (m + i) * ldy, (size_t)n * sizeof(float));
        for (i64 j = 0; j < n; j += 16)
            if (rows == 4) tile(x + m * ldx, ldx, w + j, 64, part + j, 64, K, 4, 16 / W, more);
            else           tile(x + m * ldx, ldx, w + j, 64, part + j, 64, K, 1, 16 / W, more);
        for (i64 i = 0; i < rows; i++) memcpy(y + (m + i) * ldy, part + i * 64, (size_t)n * sizeof(float));
    }
}

/* to[k][j] = w[j][k], for K numbers of each of `width` rows: in blocks that registers hold, the rest one by one. Rows i
 * and i + SIDE/2 are riffled like the halves of a deck; log2(SIDE) times that is the transpose. */
static void turn(const float *w, i64 ldw, float *to, i64 K, i64 width) {
    i64 j = 0;
    for (; j + SIDE <= width; j += SIDE) {
        i64 k = 0;
        for (; k + SIDE <= K; k += SIDE) {
            strip r[SIDE], s[SIDE];
            for (int i = 0; i < SIDE; i++) memcpy(&r[i], w + (j + i) * ldw + k, sizeof(strip));
            for (int step = 1; step < SIDE; step *= 2) {
                for (int i = 0; i < SIDE / 2; i++)
                    s[2 * i] = LOW(r[i], r[i + SIDE / 2]), s[2 * i + 1] = HIGH(r[i], r[i + SIDE / 2]);
                for (int i = 0; i < SIDE; i++) r[i] = s[i];
            }
            for (int i = 0; i < SIDE; i++) memcpy(to + (k + i) * 64 + j, &r[i], sizeof(strip));
        }
        for (; k < K; k++)
            for (int i = 0; i < SIDE; i++) to[k * 64 + j + i] = w[(j + i) * ldw + k];
    }
    for (; j < width; j++)
        for (i64 k = 0; k < K; k++) to[k * 64 + j] = w[j * ldw + k];
}

/* Outputs n0 .. N, with the weights of 64 of them at a time laid out side by side first: DEPTH of k, which stay in the
 * cache, and then the sums go on over the next. nk: w is stored (N, K). K > 0. */
static void laid_out(const float *x, i64 ldx, const float *w, i64 ldw, int nk, float *y, i64 ldy,
                     i64 M, i64 K, i64 n0, i64 N) {
    float side[DEPTH * 64] = {0};
    for (i64 n = n0; n < N; n += 64)
        for (i64 k = 0; k < K; k += DEPTH) {
            i64 width = N - n < 64 ? N - n : 64, depth = K - k < DEPTH ? K - k : DEPTH;
            if (nk) turn(w + n * ldw + k, ldw, side, depth, width);
            else for (i64 i = 0; i < depth; i++)
                for (i64 j = 0; j < width; j += 16)
                    store(side + i * 64 + j, load_some(w + (k + i) * ldw + n + j, width - j));
            if (width == 64) panel(x + k, ldx, side, 64, y + n, ldy, M, depth, k > 0);
            else edge(x + k, ldx, side, y + n, ldy, M, depth, width, k > 0);
        }
}

void linear(const float *x, i64 ldx, const float *w, i64 ldw, float *y, i64 ldy, i64 M, i64 K, i64 N) {
    i64 n = 0;
    if (M == 1)                                                   /* decode: 8 vectors at a time hide the latency */
        for (; n + 8 * W <= N; n += 8 * W) tile(x, ldx, w + n, ldw, y + n, ldy, K, 1, 8, 0);
    if (M < 16)                                                   /* more rows pay for laying out */
        for (; n + 64 <= N; n += 64) panel(x, ldx, w + n, ldw, y + n, ldy, M, K, 0);
    laid_out(x, ldx, w, ldw, 0, y, ldy, M, K, n, N);
}

/* The same for w stored (N, K), as torch.nn.Linear does. */
void linear_nk(const float *x, i64 ldx, const float *w, i64 ldw, float *y, i64 ldy, i64 M, i64 K, i64 N) {
    laid_out(x, ldx, w, ldw, 1, y, ldy, M, K, 0, N);
}

/* Rows [r0, r1) of the B*M of a batch of products: x, rows ldx and entries xb apart, times w, ldw and wb (stored (N, K)
 * if nk). y (B, M, N) contiguous. */
void bmm(const float *x, i64 xb, i64 ldx, const float *w, i64 wb, i64 ldw, i64 nk, float *y,
         i64 r0, i64 r1, i64 M, i64 K, i64 N) {
    for (i64 r = r0, rows; r < r1; r += rows) {
        i64 b = r / M, m = r % M;
        rows = M - m < r1 - r ? M - m : r1 - r;
        (nk ? linear_nk : linear)(x + b * xb + m * ldx, ldx, w + b * wb, ldw, y + r * N, N, rows, K, N);
    }
}

/* ---- rows: x and y are (rows, D), contiguous ------------------------------------------------------------------- */

INLINE v16 term(v16 x, float shift, int squares) { x = x - splat(shift); return squares ? x * x : x; }

/* Lane sums of x[i] - shift, or of its square, for `rows` rows, 4 of which keep an adder busy. (x - 0 is x.) */
INLINE void lane_sums(const float *x, float *sums, const float *shift, int rows, i64 n, int squares) {
    v16 acc[4] = {splat(0), splat(0), splat(0), splat(0)};
    i64 i = 0;
    for (; i + 16 <= n; i += 16)
        for (int r = 0; r < rows; r++) acc[r] += term(load(x + r * n + i), shift ? shift[r] : 0, squares);
    for (int r = 0; r < rows; r++) {
        if (i < n) acc[r] += keep_n(term(load_n(x + r * n + i, n - i), shift ? shift[r] : 0, squares), n - i);
        sums[r] = tree(acc[r]);
    }
}

INLINE float lane_sum(const float *x, i64 n, float shift, int squares) {
    float sum;
    lane_sums(x, &sum, &shift, 1, n, squares);
    return sum;
}

/* y[i] = (((x[i] - shift) * scale) * w[i]) + b[i]; no w, no product; no b, no sum. */
INLINE void scaled(const float *x, const float *w, const float *b, float *y, i64 n, float shift, float scale) {
    if (w && b) for (i64 i = 0; i < n; i++) y[i] = ((x[i] - shift) * scale) * w[i] + b[i];
    else if (w) for (i64 i = 0; i < n; i++) y[i] = ((x[i] - shift) * scale) * w[i];
    else        for (i64 i = 0; i < n; i++) y[i] = (x[i] - shift) * scale;
    if (b && !w) for (i64 i = 0; i < n; i++) y[i] = y[i] + b[i];
}

/* w may be NULL; rstd (rows) too. */
void rms_norm_rstd(const float *x, const float *w, float *y, float *rstd, i64 rows, i64 D, float eps) {
    for (i64 r = 0; r < rows; r++, x += D, y += D) {
        float scale = 1.0f / __builtin_sqrtf(lane_sum(x, D, 0, 1) / (float)D + eps);
        scaled(x, w, NULL, y, D, 0, scale);
        if (rstd) rstd[r] = scale;
    }
}

void rms_norm(const float *x, const float *w, float *y, i64 rows, i64 D, float eps) {
    rms_norm_rstd(x, w, y, NULL, rows, D, eps);
}

/* w and b may be NULL; mean and rstd are (rows). */
void layer_norm(const float *x, const float *w, const float *b, float *y, float *mean, float *rstd,
                i64 rows, i64 D, float eps) {
    for (i64 r = 0; r < rows; r++, x += D, y += D) {
        mean[r] = lane_sum(x, D, 0, 0) / (float)D;
        rstd[r] = 1.0f / __builtin_sqrtf(lane_sum(x, D, mean[r], 1) / (float)D + eps);
        scaled(x, w, b, y, D, mean[r], rstd[r]);
    }
}

#define COLUMNS 256                                               /* at a time: 16 accumulators each, 16 KB */

/* n <= COLUMNS columns of (D, I), I apart. */
INLINE void columns(const float *x, float *y, const float *shift, i64 n, i64 D, i64 I, int squares, float divisor) {
    float acc[16][COLUMNS];
    memset(acc, 0, sizeof acc);
    for (i64 d = 0; d < D; d++, x += I) {
        float *a = acc[d % 16];
        if (shift) for (i64 i = 0; i < n; i++) { float e = x[i] - shift[i]; a[i] += squares ? e * e : e; }
        else       for (i64 i = 0; i < n; i++) { float e = x[i]; a[i] += squares ? e * e : e; }
    }
    for (int width = 8; width; width /= 2)                        /* the tree, for every column */
        for (int l = 0; l < width; l++)
            for (i64 i = 0; i < n; i++) acc[l][i] += acc[l + width][i];
    for (i64 i = 0; i < n; i++) y[i] = acc[0][i] / divisor;
}

INLINE void parts(const float *x, float *y, const float *shift, i64 p0, i64 p1, i64 D, i64 I,
                  int squares, float divisor) {
    i64 across = (I + COLUMNS - 1) / COLUMNS, p = p0;
    if (I == 1) {
        for (; p + 4 <= p1; p += 4) lane_sums(x + p * D, y + p, shift ? shift + p : NULL, 4, D, squares);
        for (; p < p1; p++) lane_sums(x + p * D, y + p, shift ? shift + p : NULL, 1, D, squares);
        for (p = p0; p < p1; p++) y[p] = y[p] / divisor;
        return;
    }
    for (; p < p1; p++) {
        i64 o = p / across, i = p % across * COLUMNS, n = I - i < COLUMNS ? I - i : COLUMNS;
        columns(x + o * D * I + i, y + o * I + i, shift ? shift + o * I + i : NULL, n, D, I, squares, divisor);
    }
}

/* x (O, D, I) contiguous -> y (O, I), shift (O, I) or NULL. Parts [p0, p1) of the O * ceil(I / COLUMNS) there are. */
void reduce(const float *x, float *y, const float *shift, i64 p0, i64 p1, i64 D, i64 I, i64 squares, float divisor) {
    if (squares) parts(x, y, shift, p0, p1, D, I, 1, divisor);
    else parts(x, y, shift, p0, p1, D, I, 0, divisor);
}

INLINE float row_max(const float *x, i64 n) {                     /* exact, so its order is free */
    float m = x[0];
    i64 i = 0;
    if (n >= 16) {
        v16 most = load(x);
        for (i = 16; i + 16 <= n; i += 16) most = pick(load(x + i) > most, load(x + i), most);
        for (int l = 0; l < 16; l++) m = most[l] > m ? most[l] : m;
    }
    for (; i < n; i++) m = x[i] > m ? x[i] : m;
    return m;
}

/* The lane sum of exp(x[i] - m), and these in y if there is a y. */
INLINE float exp_sum(const float *x, float *y, i64 n, float m) {
    v16 acc = splat(0);
    i64 i = 0;
    for (; i + 16 <= n; i += 16) {
        v16 e = vexp(load(x + i) - splat(m));
        if (y) store(y + i, e);
        acc += e;
    }
    if (i < n) {
        v16 e = keep_n(vexp(load_n(x + i, n - i) - splat(m)), n - i);
        if (y) store_n(y + i, e, n - i);
        acc += e;
    }
    return tree(acc);
}

INLINE float log1(float x) { return vlog(splat(x))[0]; }

void softmax(const float *x, float *y, i64 rows, i64 D) {
    for (i64 r = 0; r < rows; r++, x += D, y += D) {
        float sum = exp_sum(x, y, D, row_max(x, D));
        for (i64 i = 0; i < D; i++) y[i] = y[i] / sum;
    }
}

void log_softmax(const float *x, float *y, i64 rows, i64 D) {
    for (i64 r = 0; r < rows; r++, x += D, y += D) {
        float m = row_max(x, D), log_sum = log1(exp_sum(x, NULL, D, m));
        for (i64 i = 0; i < D; i++) y[i] = (x[i] - m) - log_sum;
    }
}

/* D > 0. An infinite maximum is not subtracted: inf - inf is no number. */
void logsumexp(const float *x, float *y, i64 rows, i64 D) {
    for (i64 r = 0; r < rows; r++, x += D) {
        float m = row_max(x, D);
        if (m == __builtin_inff() || m == -__builtin_inff()) m = 0;
        y[r] = log1(exp_sum(x, NULL, D, m)) + m;
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
ELEMENTWISE(sigmoid, one / (one + vexp(-x)))
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

/* One query row against n slots: all of them, or if `seen` is given the c that it names. mask, if there is one, is
 * added to the scores (its numbers ms apart). scores: room for n floats. Answers max + log(l). */
INLINE float attend(const float *q, const float *k, i64 ks, const float *v, i64 vs, float *o, i64 n, i64 d, i64 d_v,
                    float scale, float *scores, const float *mask, i64 ms, const i64 *seen, i64 c) {
    if (seen) for (i64 j = 0; j < n; j++) scores[j] = -__builtin_inff();
    else c = n;
    for (i64 s = 0; s < c; s++) {
        i64 j = seen ? seen[s] : s;
        v16 acc = splat(0);
        i64 i = 0;
        for (; i + 16 <= d; i += 16) acc += load(q + i) * load(k + j * ks + i);
        if (i < d) acc += load_n(q + i, d - i) * load_n(k + j * ks + i, d - i);
        scores[j] = tree(acc) * scale;
        if (mask) scores[j] += mask[j * ms];
    }
    float m = row_max(scores, n), l = exp_sum(scores, scores, n, m);
    v16 sum = splat(l);
    i64 i = 0;
    for (; i + 32 <= d_v; i += 32) {
        v16 a = splat(0), b = splat(0);
        for (i64 s = 0; s < c; s++) {
            i64 j = seen ? seen[s] : s;
            a += splat(scores[j]) * load(v + j * vs + i);
            b += splat(scores[j]) * load(v + j * vs + i + 16);
        }
        store(o + i, a / sum);
        store(o + i + 16, b / sum);
    }
    for (; i < d_v; i += 16) {
        i64 left = d_v - i < 16 ? d_v - i : 16;
        v16 a = splat(0);
        for (i64 s = 0; s < c; s++) {
            i64 j = seen ? seen[s] : s;
            a += splat(scores[j]) * load_n(v + j * vs + i, left);
        }
        store_n(o + i, a / sum, left);
    }
    return m + log1(l);
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
                        v + b * vs[0] + g * vs[1] + first[b] * vs[2], vs[2], row, n, d, d,
                        scale, scores, NULL, 0, NULL, 0);
        }
    }
    free(scores);
    return 0;
}

/* Query rows [r0, r1) of the B*H*T there are. q (B, H, T, d), k (B, H_kv, S, d), v (B, H_kv, S, d_v) by element strides
 * as above; mask (B, H, T, S) by its four, -inf where a row does not see, or NULL; causal: row t sees no slot past t.
 * o (B, H, T, d_v) contiguous, lse (B, H, T). A row that sees nothing gives zeros and -inf. Returns 1 when there is no
 * memory for the scores. */
int masked_attention(const float *q, const i64 *qs, const float *k, const i64 *ks, const float *v, const i64 *vs,
                     const float *mask, const i64 *ms, float *o, float *lse,
                     i64 r0, i64 r1, i64 H, i64 H_kv, i64 T, i64 S, i64 d, i64 d_v, i64 causal, float scale) {
    const float hidden = -__builtin_inff();
    float *scores = malloc((size_t)(S + 16) * sizeof(float));
    i64 *seen = malloc((size_t)(S + 1) * sizeof(i64));
    if (!scores || !seen) { free(scores), free(seen); return 1; }
    for (i64 r = r0; r < r1; r++) {
        i64 b = r / (H * T), h = r / T % H, t = r % T, g = h / (H / H_kv);
        i64 first = 0, end = causal && t + 1 < S ? t + 1 : S, c = 0;
        const float *row = mask ? mask + b * ms[0] + h * ms[1] + t * ms[2] : NULL;
        if (mask) {                                               /* what it sees lies within [first, end) */
            while (first < end && row[first * ms[3]] == hidden) first++;
            while (first < end && row[(end - 1) * ms[3]] == hidden) end--;
            row += first * ms[3];
            for (i64 j = 0; j < end - first; j++)
                if (row[j * ms[3]] != hidden) seen[c++] = j;
        }
        const float *qr = q + b * qs[0] + h * qs[1] + t * qs[2];
        const float *kr = k + b * ks[0] + g * ks[1] + first * ks[2], *vr = v + b * vs[0] + g * vs[1] + first * vs[2];
        i64 n = end - first;
        lse[r] = hidden;
        if (n == 0) memset(o + r * d_v, 0, (size_t)d_v * sizeof(float));
        else if (!mask)
            lse[r] = attend(qr, kr, ks[2], vr, vs[2], o + r * d_v, n, d, d_v, scale, scores, NULL, 0, NULL, 0);
        else
            lse[r] = attend(qr, kr, ks[2], vr, vs[2], o + r * d_v, n, d, d_v, scale, scores, row, ms[3], seen, c);
    }
    free(scores), free(seen);
    return 0;
}
