"""The outside world on one machine: stand-ins for the vendors and real daemons behind them. Never shipped."""
