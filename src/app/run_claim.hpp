// SPDX-License-Identifier: Apache-2.0
// A run's claim on its folders: save, run_dir and tensorboard_dir. The claim is the run's from
// its start to its end, and no other run's files are overwritten.
//
// A folder belongs to a run if the run goes on with what the folder holds. `save` does if
// `load` leads into `save`, or if its checkpoints come from a run that began as this one.
// `run_dir` and `tensorboard_dir` belong to the run whose `save` the last deck.yml names beside
// them. All else that another start trained is another run's.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "trireme/deck/deck.hpp"
#include "trireme/record/owner_lock.hpp"

#include "resume.hpp"

namespace trireme {

/// For rank 0.
class RunClaim {
 public:
  /// Owns no folder.
  RunClaim() = default;

  /// Takes the locks of those folders that exist. Throws Error if another process owns one of
  /// them.
  void lock_existing(const Deck& deck);
  /// Throws Error that names files of another run, and the ways on, unless key overwrite is
  /// set. Changes nothing.
  void check(const Deck& deck, const LoadSource& source);
  /// Makes the folders that are missing, takes their locks, and checks once more. Removes
  /// temporary files of dead runs. With key overwrite, moves another run's files aside. Throws
  /// Error that names folder, key and reason where a folder can't be written.
  void make_ready(const Deck& deck, const LoadSource& source);

  /// Throws Error if another process took one of the folders over. For any thread.
  void require() const;
  /// Like require(), but looks at no file: another process may have been faster by a beat.
  void require_not_lost() const;

 private:
  struct Folder {
    std::string key;
    std::string path;
    bool visited = false;             ///< whether it was locked, or is that of an earlier key
    std::unique_ptr<OwnerLock> lock;  ///< null if an earlier key names the same folder
    std::vector<std::string> others;  ///< names of another run's files
  };

  void list(const Deck& deck);
  void lock(Folder& folder);

  std::vector<Folder> folders_;
};

}  // namespace trireme
