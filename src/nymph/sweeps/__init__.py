"""Many trainings with different parameters: which to try, what each became, and how they run beside each other."""
