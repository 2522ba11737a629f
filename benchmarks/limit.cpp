// The lecture's step by hand: the MLP with context 3, E = 10, H = 200, V = 27 and batches of 32, under plain SGD.
// Rows are padded to whole vectors of 16 numbers; the padding holds zeros, and stays so.
#include <algorithm>
#include <cmath>
#include <cstdint>

namespace {

typedef float Vector __attribute__((vector_size(64), aligned(4)));
constexpr int N = 32, C = 3, E = 10, V = 27, H = 200;  // windows, context, embedding, vocabulary, hidden units
constexpr int X = C * E, XP = 32, VP = 32, HP = 208;   // padded widths

// out (M, 16 W) = a (M, K) b (K, 16 W), where a's element (m, k) stands at m * row + k * column.
template <int R, int W>
void rows(int K, const float* a, int row, int column, const float* b, int width, float* out, int out_width) {
  Vector sums[R][W] = {};
  for (int k = 0; k < K; ++k)
    for (int w = 0; w < W; ++w) {
      const Vector right = *reinterpret_cast<const Vector*>(b + k * width + 16 * w);
      for (int r = 0; r < R; ++r) sums[r][w] += a[r * row + k * column] * right;
    }
  for (int r = 0; r < R; ++r)
    for (int w = 0; w < W; ++w) *reinterpret_cast<Vector*>(out + r * out_width + 16 * w) = sums[r][w];
}

// The product in tiles of R rows, a divisor of M, and W vectors.
template <int R, int W>
void product(int M, int K, int P, const float* a, int row, int column, const float* b, float* out) {
  for (int p = 0; p < P; p += 16 * W)
    for (int m = 0; m < M; m += R) rows<R, W>(K, a + m * row, row, column, b + p, P, out + m * P + p, P);
}

void transpose(const float* from, int rows, int columns, int width, float* to, int to_width) {
  for (int i = 0; i < rows; ++i)
    for (int j = 0; j < columns; ++j) to[j * to_width + i] = from[i * width + j];
}

void descend(float* weight, const float* grad, int count, float rate) {
  for (int i = 0; i < count; ++i) weight[i] -= rate * grad[i];
}

alignas(64) float embedding[V][E], w1[XP][HP], w1t[H][XP], b1[HP], w2[H][VP], w2t[VP][HP], b2[VP];
alignas(64) float x[N][XP], h[N][HP], logits[N][VP], dh[N][HP], dx[N][XP], dw1[XP][HP], dw2[H][VP];
alignas(64) float db1[HP], db2[VP], dembedding[V][E];

float step(const int64_t* ids, const int64_t* targets, float rate) {
  for (int n = 0; n < N; ++n)
    for (int c = 0; c < C; ++c) std::copy_n(embedding[ids[n * C + c]], E, x[n] + c * E);
  product<8, 1>(N, X, HP, x[0], XP, 1, w1[0], h[0]);
  for (int n = 0; n < N; ++n)
    for (int j = 0; j < HP; ++j) h[n][j] = 1 - 2 / (std::exp(2 * (h[n][j] + b1[j])) + 1);
  product<8, 2>(N, H, VP, h[0], HP, 1, w2[0], logits[0]);
  float loss = 0;
  std::fill_n(db2, VP, 0.f);
  for (int n = 0; n < N; ++n) {  // logits become their gradient
    float *z = logits[n], top = z[0] + b2[0], sum = 0;
    for (int v = 0; v < V; ++v) top = std::max(top, z[v] += b2[v]);
    loss += top - z[targets[n]];
    for (int v = 0; v < V; ++v) sum += z[v] = std::exp(z[v] - top);
    loss += std::log(sum);
    for (int v = 0; v < V; ++v) z[v] /= sum * N;
    z[targets[n]] -= 1.f / N;
    for (int v = 0; v < V; ++v) db2[v] += z[v];
  }
  product<8, 1>(N, V, HP, logits[0], VP, 1, w2t[0], dh[0]);
  product<8, 2>(H, N, VP, h[0], 1, HP, logits[0], dw2[0]);
  std::fill_n(db1, HP, 0.f);
  for (int n = 0; n < N; ++n)
    for (int j = 0; j < HP; ++j) db1[j] += dh[n][j] *= 1 - h[n][j] * h[n][j];
  product<8, 2>(N, H, XP, dh[0], HP, 1, w1t[0], dx[0]);
  product<6, 1>(X, N, HP, x[0], 1, XP, dh[0], dw1[0]);
  std::fill_n(dembedding[0], V * E, 0.f);
  for (int n = 0; n < N; ++n)
    for (int c = 0; c < C; ++c)
      for (int e = 0; e < E; ++e) dembedding[ids[n * C + c]][e] += dx[n][c * E + e];
  descend(embedding[0], dembedding[0], V * E, rate);
  descend(w1[0], dw1[0], X * HP, rate);
  descend(b1, db1, H, rate);
  descend(w2[0], dw2[0], H * VP, rate);
  descend(b2, db2, V, rate);
  transpose(w1[0], X, H, HP, w1t[0], XP);
  transpose(w2[0], H, V, VP, w2t[0], HP);
  return loss / N;
}

}  // namespace

// Carries out `steps` steps from weights as torch has them, (V, E), (H, X), (H), (V, H), (V).
extern "C" void train(const float* start[5], const int64_t* ids, const int64_t* targets, int steps, float rate,
                      float* losses) {
  std::copy_n(start[0], V * E, embedding[0]);
  for (int j = 0; j < H; ++j) {
    for (int i = 0; i < X; ++i) w1t[j][i] = w1[i][j] = start[1][j * X + i];
    for (int v = 0; v < V; ++v) w2[j][v] = w2t[v][j] = start[3][v * H + j];
  }
  std::copy_n(start[2], H, b1);
  std::copy_n(start[4], V, b2);
  for (int s = 0; s < steps; ++s) losses[s] = step(ids + s * N * C, targets + s * N, rate);
}
