package analytics_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	analytics "highload.example/analytics/sdk/go"
)

// An application makes one client, tracks from wherever something happens, and closes the client at its end.
func Example() {
	client, err := analytics.New(analytics.Options{
		URL: "http://localhost:8000",
		OnOutcome: func(o analytics.Outcome) {
			if o.Result != analytics.Accepted && o.Result != analytics.Duplicate {
				log.Printf("event %s of user %d: %s %s %v", o.Event.ID, o.Event.UserID, o.Result, o.Code, o.Violations)
			}
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	ctx := context.Background()

	err = client.Track(ctx, analytics.Event{UserID: 42, Type: "purchase", Payload: map[string]any{"item": "book", "price": 12.5}})
	if errors.Is(err, analytics.ErrPayload) {
		log.Print(err) // a defect of ours: the payload is no JSON object
	}

	end, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if err := client.Close(end); err != nil {
		log.Print(err) // how many events could not be delivered
	}
}

// Events that must survive a crash of the process are kept in a folder.
func Example_onDisk() {
	client, err := analytics.New(analytics.Options{URL: "http://localhost:8000", QueueDir: "/var/lib/shop/analytics"})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close(context.Background())
}

// The revenue of last week by country, of the ten best.
func ExampleClient_Query() {
	client, err := analytics.New(analytics.Options{URL: "http://localhost:8000"})
	if err != nil {
		log.Fatal(err)
	}
	now := time.Now()
	result, err := client.Query(context.Background(), analytics.Query{
		EventTypes: []string{"purchase"},
		Metric:     analytics.MetricSum,
		Value:      "payload.price",
		GroupBy:    []string{"payload.country"},
		Filters:    []analytics.Filter{{Field: "payload.plan", Op: analytics.FilterOperatorEq, Value: "pro"}},
		From:       now.AddDate(0, 0, -7).Unix(),
		To:         now.Unix(),
		Limit:      10,
	})
	if err != nil {
		log.Fatal(err)
	}
	for _, group := range result.Groups {
		fmt.Println(group.Key[0], group.Value)
	}
}

// All events of a user, however many there are.
func ExampleClient_Export() {
	client, err := analytics.New(analytics.Options{URL: "http://localhost:8000"})
	if err != nil {
		log.Fatal(err)
	}
	for record, err := range client.Export(context.Background(), analytics.Selection{UserID: 42}) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(record.Time, record.Type, string(record.Payload))
	}
}
