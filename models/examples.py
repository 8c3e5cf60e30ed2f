"""River models to begin with: by name in the catalog, or to be copied.

Directions of liquid markets are near chance, so what learns slowly does best; the rates were chosen
on 6,000 hourly candles of BTC/USDT. How these do on others stands in docs/models.md.
"""

from river import linear_model, optim, preprocessing, time_series

from models.calibrated import calibrated

snarimax = calibrated(
    time_series.SNARIMAX(
        p=1,
        d=1,
        q=0,
        regressor=preprocessing.StandardScaler()
        | linear_model.LinearRegression(optimizer=optim.SGD(1e-4), intercept_lr=1e-4),
    )
)

# Without a trend: one that is followed costs more than it tells.
holt_winters = calibrated(time_series.HoltWinters(alpha=0.95))  # type: ignore[no-untyped-call]

regression = calibrated(
    preprocessing.StandardScaler()
    | linear_model.LinearRegression(optimizer=optim.SGD(2e-5), intercept_lr=2e-5, l2=0.1)
)
