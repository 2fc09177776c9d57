// Pod is the container of the tests: it prints a word, and its Secret whenever that changes.
package main

import (
	"fmt"
	"os"
	"time"
)

func main() {
	fmt.Println("hello")
	for last := ""; ; time.Sleep(100 * time.Millisecond) {
		text, _ := os.ReadFile("/secret/word")
		if string(text) != last {
			last = string(text)
			fmt.Println("word " + last)
		}
	}
}
