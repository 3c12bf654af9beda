"""The machine: devices, memory, processes, threads, locks and disks."""
