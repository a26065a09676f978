//! Nothing to link: the tests are in `it/`.
