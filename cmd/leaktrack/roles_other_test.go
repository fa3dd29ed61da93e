//go:build !linux

package main

func playRoles() {}
