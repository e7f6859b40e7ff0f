# SPDX-License-Identifier: Apache-2.0
# placeholder, replaced in the next commit
