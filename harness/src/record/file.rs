//! Saving and loading results.
