//! Allocator, pacer and estimator coupled through a simulated bottleneck, on a virtual clock.
