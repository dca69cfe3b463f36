//! Every source in-process: real recorded requests in, whole signals and answers out.

mod alerts;
mod harness;
