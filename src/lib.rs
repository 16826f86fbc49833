//! mastopatch
