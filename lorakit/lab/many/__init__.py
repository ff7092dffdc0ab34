"""More than one device: processes (Accelerate), a model cut up over them (FSDP2), a cluster (Ray)."""
