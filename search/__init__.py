"""How plans are proposed, stored, compared and shown. Optuna, pandas, plotly; never calls linear algebra of layers."""
