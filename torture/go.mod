module highload.example/analytics/torture

go 1.26.0

replace highload.example/analytics => ../

require highload.example/analytics v0.0.0
