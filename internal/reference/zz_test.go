package reference
import ("testing";"fmt")
func TestZZ(t *testing.T){
 for _,l:=range []string{"en","ja"}{
 for _,p:=range [][2]string{{"251","535"},{"450","550"},{"550","5.7.26"},{"251","5.7.26"},{"550","5.3.4"},{"5.7.8","5.7.9"},{"421","554"},{"521","556"},{"591","200"},{"447","101"},{"X.1.2","X.7.25"},{"4.2.2","5.2.2"},{"5.7.509","5.7.26"},{"354","355"},{"504","X.6.10"},{"5.1.2","2.6.4"},{"X.7.1","5.7.1"},{"454","4.7.0"},{"433","550"}}{
  c:=Compare(p[0],p[1],l)
  fmt.Println("=====",p,c.Relation); for _,s:=range c.First{fmt.Println("!",s)}
  for _,s:=range c.KeyDifferences{fmt.Println("-",s)}
  fmt.Println("note:",c.Note); fmt.Println("use:",c.UseWhich,"\nsug",c.Suggestions)
 }}
}
