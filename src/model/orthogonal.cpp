// SPDX-License-Identifier: Apache-2.0
// Householder QR by Eigen.

// The backends compile Eigen for other instruction sets and with other switches. The linker
// would mix templates of equal names: here Eigen has a namespace of its own.
// NOLINTBEGIN(readability-identifier-naming): Eigen's names
#define Eigen EigenOfModel
#define EIGEN_DONT_PARALLELIZE
// NOLINTEND(readability-identifier-naming)

#include "orthogonal.hpp"

#include <cmath>

#include <Eigen/Core>
#include <Eigen/QR>

#include "trireme/core/error.hpp"

namespace trireme {

void make_orthogonal(std::span<float> matrix, std::int64_t rows, std::int64_t cols,
                     double gain) {
  TRM_CHECK(static_cast<std::int64_t>(matrix.size()) == rows * cols, "{} elements for {} × {}",
            matrix.size(), rows, cols);
  using RowMajor = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  Eigen::Map<RowMajor> whole(matrix.data(), rows, cols);
  Eigen::MatrixXd a = whole.cast<double>();
  if (rows < cols) a.transposeInPlace();
  const Eigen::HouseholderQR<Eigen::MatrixXd> qr(a);
  Eigen::MatrixXd q = qr.householderQ() * Eigen::MatrixXd::Identity(a.rows(), a.cols());
  for (Eigen::Index j = 0; j < q.cols(); ++j) {
    q.col(j) *= std::copysign(gain, qr.matrixQR()(j, j));
  }
  if (rows < cols) {
    whole = q.transpose().cast<float>();
  } else {
    whole = q.cast<float>();
  }
}

}  // namespace trireme
