"""What several benchmarks use: processes, clients, loads, pictures, figures, plots. No benchmark is here."""
