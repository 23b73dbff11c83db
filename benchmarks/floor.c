/* What one thread of this machine can do at best: read memory, and multiply and add. Enough sums run side by side to
 * hide each operation's latency, and their results are answered so that no compiler may leave the work out. */
#include <stdint.h>
#include <string.h>

#if defined(__AVX512F__)
enum { LANES = 16 };
#elif defined(__AVX__)
enum { LANES = 8 };
#else
enum { LANES = 4 };
#endif
enum { SUMS = 12 };                     /* 12 sums and 2 constants fit in the 16 registers of the smallest machine */
typedef float vec __attribute__((vector_size(4 * LANES)));

static float total(const vec *acc) {
    float sum = 0;
    for (int j = 0; j < SUMS; j++)
        for (int i = 0; i < LANES; i++) sum += acc[j][i];
    return sum;
}

/* Read n floats, `times` times over. */
float read_floats(const float *p, int64_t n, int64_t times) {
    vec acc[SUMS];
    memset(acc, 0, sizeof acc);
    for (int64_t t = 0; t < times; t++)
        for (int64_t i = 0; i + SUMS * LANES <= n; i += SUMS * LANES)
            for (int j = 0; j < SUMS; j++) {
                vec v;
                memcpy(&v, p + i + j * LANES, sizeof v);
                acc[j] += v;
            }
    return total(acc);
}

/* At least n multiplications and as many additions, all in registers and never fused. The sums begin differently:
 * of equal ones a compiler would compute only one. */
float multiply_add(int64_t n) {
    vec acc[SUMS], a, b;
    for (int i = 0; i < LANES; i++) a[i] = 0.5f, b[i] = 1.0f;
    for (int j = 0; j < SUMS; j++)
        for (int i = 0; i < LANES; i++) acc[j][i] = (float)(j + 3);
    for (int64_t i = 0; i < n; i += SUMS * LANES)
        for (int j = 0; j < SUMS; j++) acc[j] = acc[j] * a + b;
    return total(acc);
}
