//! Tests of rings alone; those of the machine with rings are scripts.
